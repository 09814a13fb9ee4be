"""Finds selections: by their file, or by the folder of a run that was trained on one."""

from pathlib import Path

from equipoise.errors import UserError
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
