"""The site file of the Slurm profile: how one cluster differs, merged into profiles/slurm/profile.yaml as it is read.

Snakemake renders a profile that says `__use_yte__: true` as a template; the profile opens the site first, and its last lines call
`with_site`.
"""

import ast
import dataclasses
import difflib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equipoise.cluster.devices import ON_GPU
from equipoise.cluster.submission import SlurmSite, fix_submission
from equipoise.config_file import read_mapping
from equipoise.errors import UserError
from equipoise.shipped import ROOT, WORKFLOW

VARIABLE = "EQUIPOISE_SITE"
PLACES = (Path("profiles/slurm/site.yaml"), ROOT / "profiles" / "slurm" / "site.yaml")
RULES = WORKFLOW / "rules"
RULE_SECTIONS = ("set-resources", "groups", "set-threads")
OWN_KEYS = tuple(key.name for key in dataclasses.fields(SlurmSite) if key.name != "cpu_resources")
CORES = "EQUIPOISE_CORES_PER_GPU"
"""Read by the rules (common.smk), in the snakemake of a job too."""
TEXTS = (
    "slurm_account",
    "slurm_partition",
    "slurm_extra",
    "constraint",
    "qos",
    "gres",
    "gpu_model",
    "cluster",
    "clusters",
    "slurm_cluster",
)
"""Resources that are text. Snakemake takes text for a Python expression: `a100|h100` or `--exclude=n1` has to be quoted once more."""
NO_ACCOUNTING = {"slurm-status-command": "squeue", "slurm-efficiency-report": False}
TIME = re.compile(r"(?:\d+-\d+(?::\d+){0,2}|\d+(?::\d+){1,2}|(?:\d+[dhm])+|\d+)")


@dataclasses.dataclass(frozen=True)
class Site:
    """A site file: what `sbatch` is asked by, and the further keys, which are the profile's."""

    slurm: SlurmSite
    entries: dict[str, Any]


def open_site() -> Site:
    """Reads the site file and makes the Slurm plugin submit by it. Raises `UserError` for keys and values that cannot be meant."""
    site = split_site(read_site())
    os.environ[CORES] = str(site.slurm.cores_per_gpu)
    fix_submission(site.slurm)
    return site


def split_site(values: Mapping[str, Any]) -> Site:
    """A site file's values, checked: our own keys, and those of the profile. Raises `UserError` naming the key."""
    entries = {key: value for key, value in values.items() if key not in OWN_KEYS}
    own = {key: value for key, value in values.items() if key in OWN_KEYS and value is not None}
    if own.setdefault("gpu_request", "gpus") not in ("gpus", "gres"):
        raise UserError(f"site file, gpu_request: {own['gpu_request']!r}; write gpus (sbatch --gpus) or gres (sbatch --gres=gpu:...)")
    cores = own.setdefault("cores_per_gpu", 8)
    if isinstance(cores, bool) or not isinstance(cores, int) or cores < 1:
        raise UserError(f"site file, cores_per_gpu: {cores!r}; write how many cores a job asks for with each GPU, such as 8")
    limits = own.get("max_runtime", {})
    limits = limits if isinstance(limits, dict) else {"": limits}
    own["max_runtime"] = {str(place): _minutes(place, limit) for place, limit in limits.items()}
    for key in ("gpu_resources", "default-resources"):
        if not isinstance(values.get(key) or {}, dict):
            raise UserError(f"site file, {key}: {values[key]!r}; write a mapping of resources, such as {{qos: gpu}}")
    own["cpu_resources"] = entries.get("default-resources") or {}
    own.setdefault("accounting", shutil.which("sacct") is not None or shutil.which("sbatch") is None)
    for key in ("account", "gpu_partition", "cpu_partition", "gpu_model"):
        own[key] = str(own.get(key, ""))
    if not own["accounting"]:
        entries = NO_ACCOUNTING | entries
    return Site(SlurmSite(**own), entries)


def _minutes(place: object, limit: object) -> int:
    """A limit as Slurm or snakemake writes times: minutes, [days-]hours[:minutes[:seconds]], 36h, 2d."""
    text = str(limit)
    if isinstance(limit, bool) or not TIME.fullmatch(text):
        where = f"max_runtime.{place}" if place else "max_runtime"
        raise UserError(f"site file, {where}: {limit!r} is no time; write minutes, 36h, 2d or 1-12:00:00, in quotes where it has a colon")
    if text.isdigit():
        return int(text)
    if units := re.findall(r"(\d+)([dhm])", text):
        return sum(int(number) * {"d": 1440, "h": 60, "m": 1}[unit] for number, unit in units)
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes = (parts[0], (parts[1:] or [0])[0]) if days or len(parts) == 3 else (0, parts[0])  # 90:30 is minutes and seconds
    return int(days or 0) * 1440 + hours * 60 + minutes


def read_site() -> dict[str, Any]:
    """Values of the site file, {} when there is none: $EQUIPOISE_SITE, else profiles/slurm/site.yaml here or beside the package.

    Raises `UserError` when the named file is missing or no file holds a mapping.
    """
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_file():
        raise UserError(f"{named}: no such file; {VARIABLE} names the site file of the Slurm profile")
    path = Path(named) if named else next((place for place in PLACES if place.is_file()), None)
    return {} if path is None else read_mapping(path, "site.example.yaml", empty={})


def with_site(profile: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """The profile's entries that the site changes, merged: mappings key by key, anything else replaced.

    Raises `UserError` for a rule name under set-resources, groups or set-threads that the profile does not know.
    """
    entries = dict(site.entries)
    for section in RULE_SECTIONS:
        if isinstance(entries.get(section), dict):
            _check_names(section, entries[section], _plain(profile[section]) if section in profile else {})
    if site.slurm.gpu_resources:
        on_gpu = {rule: site.slurm.gpu_resources for rule in ON_GPU}
        entries["set-resources"] = _merged(on_gpu, entries.get("set-resources") or {})
    if entries.get("default-resources"):
        entries["default-resources"] = _quoted(entries["default-resources"])
    if entries.get("set-resources"):
        entries["set-resources"] = {rule: _quoted(resources) for rule, resources in entries["set-resources"].items()}
    return {key: _merged(_plain(profile[key]) if key in profile else None, value) for key, value in entries.items()}


def _quoted(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Texts as Python's text, but for those that are so already and for expressions of `attempt` or `wildcards`."""
    return {name: repr(str(value)) if name in TEXTS and not _is_expression(value) else value for name, value in resources.items()}


def _is_expression(value: Any) -> bool:
    try:
        tree = ast.parse(str(value), mode="eval").body
    except SyntaxError:
        return False
    if isinstance(tree, ast.Constant):
        return isinstance(tree.value, str)
    return any(isinstance(node, ast.Name) and node.id in ("attempt", "wildcards") for node in ast.walk(tree))


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
