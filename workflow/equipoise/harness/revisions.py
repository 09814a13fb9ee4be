"""Commits of loaded hub data. Offline, `datasets` takes the latest commit in the cache whatever was asked for, so stages compare."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.store.artefact import open_artefact


def commits(splits: Mapping[str, Any]) -> list[str]:
    """Commits of a hub data set's loaded splits, as the cache's folders name them; nothing for local files."""
    files = [file["filename"] for split in splits.values() for file in split.cache_files]
    return sorted({commit[1] for name in files if (commit := re.search(r"/([0-9a-f]{40})/[^/]+$", name))})


def refuse_other_commits(config: Experiment, where: str, loaded: list[str], *path: str) -> None:
    """Raises `UserError` when data were loaded at other commits than `fetch` noted under `path` of its manifest, where there is one.

    where: the config key that named the data.
    """
    manifest = config.layout.fetch_manifest
    if not Path(manifest).is_file():
        return
    fetched: Any = open_artefact(config, "fetch").content
    for part in path:
        fetched = fetched.get(part, {})
    if fetched and fetched != loaded:
        raise UserError(
            f"{where}: the cache holds commit {', '.join(loaded) or 'none'}, {manifest} says {', '.join(fetched)}; "
            "run `equipoise fetch` again (a cache shared with an experiment of other revisions serves the one fetched last)"
        )
