"""A selection on disk as `select_budget` leaves it: what training reads."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.store.artefact import publish
from helpers.rows import write_jsonl


def write_selection(config: Experiment, selector: str, selection_seed: int, budget: str, picks: Iterable[Mapping[str, Any]]) -> Path:
    """Writes picks as a selection and publishes it, last; its inputs are published before. Returns the file."""
    path = Path(config.layout.selection(selector, selection_seed, budget))
    write_jsonl(path, list(picks))
    publish(config, "selection", {"selector": selector, "selection_seed": selection_seed, "budget": budget}, [path])
    return path
