"""Finds selections: by their file, or by the folder of a run that was trained on one."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from equipoise.conversation.messages import BadRow, turns
from equipoise.errors import UserError
from equipoise.inputs import read_jsonl, regular_file
from equipoise.layout import Layout, Run
from equipoise.store.artefact import open_alone


def find_selection(path: str | Path) -> Path:
    """The selection file behind `path`: itself, or the one a run's folder (.../runs/<selector>/...) was trained on.

    Raises `UserError` when there is none.
    """
    path = Path(path).absolute()
    if path.is_file():
        return _sound(path)
    parts = path.parts
    if not path.is_dir() and "runs" not in parts:
        regular_file(path, "a selection file, picks, or a run's folder")
    if "runs" not in parts:
        raise UserError(f"{path}: neither a selection file nor a run's folder; write .../selection/bids/selection-0/budget-0.1.jsonl")
    at = len(parts) - 1 - parts[::-1].index("runs")
    run, root = Run.parse("/".join(parts[at + 1 : at + 6])), Path(*parts[:at])
    layout = Layout(str(root.parent.parent), root.parent.name, root.name)
    selection = Path(layout.selection(run.selector, run.selection_seed, run.budget))
    if not selection.is_file():
        raise UserError(f"{selection}: missing; {path} was not trained on a selection, or select_budget has not run")
    return _sound(selection)


def _sound(path: Path) -> Path:
    """A selection of the workflow as its manifest vouches for it; any other file (picks of `equipoise select`) as it is."""
    manifest = path.with_suffix(".json")
    if path.suffix != ".jsonl" or not path.name.startswith("budget-") or not path.parent.name.startswith("selection-"):
        return path
    return open_alone(manifest, "selection").only_file()


def read_picks(path: Path, needed: Iterable[str]) -> list[dict[str, Any]]:
    """The lines of a selection or of picks of `equipoise select`, each with the keys that are `needed`.

    Raises `UserError` naming the line for a key that is missing or holds what it cannot hold, and for a row that stands twice.
    """
    picks: list[dict[str, Any]] = []
    places: dict[int, int] = {}
    for number, line in read_jsonl(path):
        for key in dict.fromkeys((*needed, *(key for key in KEYS if key in line))):
            if key not in line:
                writers = "the workflow or equipoise select has" if key in PICKED else "the workflow has"
                raise UserError(f"{path}:{number}: {key} is missing; write a file that {writers} written")
            if not KEYS[key](line[key]):
                raise UserError(f"{path}:{number}: {key} cannot be {repr(line[key])[:80]}; write the file as it was made")
        if "messages" in line:
            try:
                turns(line["messages"], "messages")
            except BadRow as problem:
                raise UserError(f"{path}:{number}: messages: {problem}; write the file as it was made") from None
        if "row" in line and places.setdefault(line["row"], number) != number:
            raise UserError(f"{path}:{number}: row {line['row']} stands twice, first in line {places[line['row']]}; a row is picked once")
        picks.append(line)
    if not picks:
        raise UserError(f"{path}: holds no pick; write a file with one a line")
    return picks


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


KEYS: dict[str, Callable[[Any], bool]] = {
    "row": _count,
    "rank": _count,
    "score": _is_number,
    "column": lambda value: value is None or _count(value),
    "task": lambda value: value is None or _is_text(value),
    "id": _is_text,
    "source": _is_text,
    "messages": lambda value: isinstance(value, list) and len(value) > 0,
    "tools": lambda value: value is None or _objects(value),
    "margin": _is_number,
    "validation_id": lambda value: value is None or _is_text(value),
    "top_tasks": lambda value: isinstance(value, list) and all(map(_is_text, value)),
}
"""Keys of a selection's lines, and what each may hold."""
PICKED = ("rank", "row", "score", "column", "task")
"""Those that `equipoise select` writes too, which knows no pool."""
