"""The site file of the Slurm profile: how one cluster differs, merged into profiles/slurm/profile.yaml as it is read.

Snakemake renders a profile that says `__use_yte__: true` as a template; the profile's last lines call `with_site`.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equipoise.config_file import read_mapping
from equipoise.errors import UserError

VARIABLE = "EQUIPOISE_SITE"
PLACES = (Path("profiles/slurm/site.yaml"), Path(__file__).resolve().parents[3] / "profiles" / "slurm" / "site.yaml")
RULES = Path(__file__).resolve().parents[2] / "rules"
RULE_SECTIONS = ("set-resources", "groups", "set-threads")


def read_site() -> dict[str, Any]:
    """Values of the site file, {} when there is none: $EQUIPOISE_SITE, else profiles/slurm/site.yaml here or beside the package.

    Raises `UserError` when the named file is missing or no file holds a mapping.
    """
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_file():
        raise UserError(f"{named}: no such file; {VARIABLE} names the site file of the Slurm profile")
    path = Path(named) if named else next((place for place in PLACES if place.is_file()), None)
    return {} if path is None else read_mapping(path, "site.example.yaml", empty={})


def with_site(profile: Mapping[str, Any], site: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's entries that the site changes, merged: mappings key by key, anything else replaced.

    Raises `UserError` for a rule name under set-resources, groups or set-threads that the profile does not know.
    """
    for section in RULE_SECTIONS:
        if isinstance(site.get(section), dict):
            _check_names(section, site[section], _plain(profile[section]) if section in profile else {})
    return {key: _merged(_plain(profile[key]) if key in profile else None, value) for key, value in site.items()}


def _merged(ours: Any, theirs: Any) -> Any:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours | {key: _merged(ours.get(key), value) for key, value in theirs.items()}
    return theirs


def _plain(value: Any) -> Any:
    """Template documents are mappings of their own kind."""
    return {key: _plain(inner) for key, inner in value.items()} if hasattr(value, "items") else value


def _check_names(section: str, names: Iterable[str], known: Iterable[str]) -> None:
    rules = {*known, *(name for file in RULES.glob("*.smk") for name in re.findall(r"^\s*rule (\w+):", file.read_text("utf-8"), re.M))}
    for name in names:
        if name not in rules:
            close = difflib.get_close_matches(name, rules, n=1)
            hint = f"did you mean {close[0]}?" if close else "snakemake -l lists them"
            raise UserError(f"site file, {section}: no rule {name!r}; {hint}")
