"""Reads selections back: selection files of the workflow (by name or by a run's folder) and picks of `equipoise select`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equipoise.errors import UserError
from equipoise.layout import Run


def find_selection(path: str | Path) -> Path:
    """The selection file behind `path`: itself, or the one a run's folder (.../runs/<selector>/...) was trained on.

    Raises `UserError` when there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    parts = path.parts
    if "runs" not in parts:
        raise UserError(f"{path}: neither a selection file nor a run's folder; write .../selection/bids/selection-0/budget-0.1.jsonl")
    at = len(parts) - 1 - parts[::-1].index("runs")
    run = Run.parse("/".join(parts[at + 1 : at + 6]))
    found = Path(*parts[:at]) / "selection" / run.selector / f"selection-{run.selection_seed}" / f"budget-{run.budget}.jsonl"
    if not found.is_file():
        raise UserError(f"{found}: missing; {path} was not trained on a selection, or select_budget has not run")
    return found


def read_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file; raises `UserError` naming file and line of a bad one."""
    # Lines end at \n alone: texts may hold U+2028, at which str.splitlines would cut.
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                raise UserError(f"{path}:{number}: not JSON ({error})") from None
            if not isinstance(line, dict):
                raise UserError(f"{path}:{number}: not an object; write the file of a selection")
            yield line
