"""What is collected of pool and targets, and what each matrix is made from: gradients, states, or the user's own scores.

An estimator of `ESTIMATORS` stores rows of the whole pool, and states of its last epoch beside them. Where it does not, states are
collected by forward passes alone, and only if a selector ranks on them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.errors import UserError
from equipoise.estimators import MATRIX, row_estimator
from equipoise.selectors import MATRICES, SCORED, selector

if TYPE_CHECKING:
    from equipoise.config import Experiment

INFLUENCE = MATRICES[0]
STATES = MATRICES[1:]


def is_own(config: "Experiment", matrix: str = INFLUENCE) -> bool:
    """Whether a matrix is the user's own file."""
    return matrix == INFLUENCE and config.gradients.estimator == MATRIX


def has_all_rows(config: "Experiment") -> bool:
    """Whether stores hold the gradients of every pool row."""
    return row_estimator(config.gradients) is not None


def ranks_on_states(config: "Experiment") -> bool:
    """Whether a selector of the experiment asks for last-layer states."""
    return any(selector(name).matrix in STATES or selector(name).states for name in config.selectors)


def scored_columns(config: "Experiment") -> list[str]:
    """Columns of losses under the untuned base that the experiment's selectors ask for."""
    asked = {column for name in config.selectors for column in selector(name).pool}
    return [column for column in SCORED if column in asked]


def states_apart(config: "Experiment") -> dict[str, bool]:
    """By side (pool, target), whether states lie in stores of their own."""
    return {"pool": not has_all_rows(config), "target": row_estimator(config.gradients) is None}


def collects_states(config: "Experiment", side: str) -> bool:
    """Whether states of a side are collected by forward passes alone."""
    return states_apart(config)[side] and ranks_on_states(config)


def store_kind(config: "Experiment", side: str, matrix: str) -> str:
    """The kind of artefact that a matrix's rows of a side are read from, and the name of its store in `Layout`."""
    return f"{side}_states" if matrix in STATES and states_apart(config)[side] else f"{side}_gradients"


def needs_warm_up(config: "Experiment") -> bool:
    """Whether anything is collected at its checkpoints."""
    return row_estimator(config.gradients) is not None or ranks_on_states(config)


def own_files(config: "Experiment", must_exist: bool = False) -> list[str]:
    """Files of the user's own scores, a folder's one by one; none where the estimator is another.

    Raises `UserError` for one that must exist and does not.
    """
    if not is_own(config) or not config.gradients.matrix.file:
        return []
    path = Path(config.gradients.matrix.file)
    if must_exist and not path.exists():
        raise UserError(f"gradients.matrix.file: {path}: no such file; write the path of your scores")
    return sorted(str(each) for each in path.rglob("*") if each.is_file()) if path.is_dir() else [str(path)]
