"""What is collected of pool and targets, and what each matrix is made from: gradients, states, or the user's own scores.

An estimator of `ESTIMATORS` stores rows of the whole pool, and states of the last epoch beside them. Where it does not, states are
collected by forward passes alone, and only if a selector ranks on them.
"""

from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.errors import UserError
from equipoise.estimators import MATES, MATRIX, row_estimator
from equipoise.seeds import derive_seed
from equipoise.selectors import MATRICES, SAMPLED, SCORED, selector

if TYPE_CHECKING:
    import numpy as np

    from equipoise.config import Experiment

INFLUENCE = MATRICES[0]
STATES = MATRICES[1:]


def is_own(config: "Experiment", matrix: str = INFLUENCE) -> bool:
    """Whether a matrix is the user's own file."""
    return matrix == INFLUENCE and config.gradients.estimator == MATRIX


def has_all_rows(config: "Experiment") -> bool:
    """Whether stores hold the gradients of every pool row."""
    return row_estimator(config.gradients) is not None and not is_predicted(config)


def is_predicted(config: "Experiment", matrix: str = INFLUENCE) -> bool:
    """Whether a matrix is predicted by a model that is fitted on a sampled share of the rows."""
    return matrix == INFLUENCE and config.gradients.estimator == MATES and config.gradients.mates.share < 1


def made_of_rows(config: "Experiment") -> str | None:
    """The matrix whose rows are products of the stored gradients: that of influence, or of the sampled rows; none of own scores."""
    if is_own(config):
        return None
    return SAMPLED if is_predicted(config) else INFLUENCE


def sample_size(config: "Experiment", rows: int) -> int:
    """Pool rows whose gradients are collected, of so many."""
    return ceil(Fraction(str(config.gradients.mates.share)) * rows) if is_predicted(config) else rows


def sampled_rows(config: "Experiment", rows: int) -> "np.ndarray":
    """Those rows, int64, sorted: drawn uniformly by seed, a smaller share's among a larger one's."""
    import numpy as np

    draws = np.random.PCG64(derive_seed(config.seed, "mates", "rows")).random_raw(rows)
    return np.sort(np.argsort(draws, kind="stable")[: sample_size(config, rows)])


def row_shards(config: "Experiment") -> int:
    """Jobs that the collected pool rows are cut into: as many of pool.shards as their share, and never more than chunks."""
    return max(1, int(Fraction(str(config.gradients.mates.share)) * config.pool.shards)) if is_predicted(config) else config.pool.shards


def ranks_on_states(config: "Experiment") -> bool:
    """Whether a selector of the experiment, or the comparison of estimators, asks for last-layer states."""
    compares = bool(config.validation.estimators) and not config.gradients.place
    return compares or any(selector(name).matrix in STATES or selector(name).states for name in config.selectors)


def scored_columns(config: "Experiment") -> list[str]:
    """Columns of losses under the untuned base that the experiment's selectors ask for."""
    asked = {column for name in config.selectors for column in selector(name).pool}
    return [column for column in SCORED if column in asked]


def states_apart(config: "Experiment") -> dict[str, bool]:
    """By side (pool, target), whether states lie in stores of their own."""
    return {"pool": not has_all_rows(config), "target": row_estimator(config.gradients) is None}


def collects_states(config: "Experiment", side: str) -> bool:
    """Whether states of a side are collected by forward passes alone."""
    return states_apart(config)[side] and (ranks_on_states(config) or is_predicted(config))


def store_kind(config: "Experiment", side: str, matrix: str) -> str:
    """The kind of artefact that a matrix's rows of a side are read from, and the name of its store in `Layout`."""
    return f"{side}_states" if matrix in STATES and states_apart(config)[side] else f"{side}_gradients"


def needs_warm_up(config: "Experiment") -> bool:
    """Whether anything is collected at its checkpoints."""
    return row_estimator(config.gradients) is not None or ranks_on_states(config) or bool(config.validation.estimators)


def score_files(config: "Experiment", must_exist: bool = False) -> list[str]:
    """Files of the user's own scores, a folder's one by one; none where the estimator is another.

    Raises `UserError` for one that must exist and does not.
    """
    if not is_own(config) or not config.gradients.matrix.file:
        return []
    path = Path(config.gradients.matrix.file)
    if must_exist and not path.exists():
        raise UserError(f"gradients.matrix.file: {path}: no such file; write the path of your scores")
    files = sorted(str(each) for each in path.rglob("*") if each.is_file()) if path.is_dir() else [str(path)]
    if must_exist and not files:
        raise UserError(f"gradients.matrix.file: {path}: an empty folder; write the path of your scores")
    return files
