"""What a selector gets and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from equipoise.selection.source import Source

NO_COLUMN = -1


@dataclass(frozen=True)
class Problem:
    """What a selector ranks on.

    rows: number N of pool rows. valid: bool [N], the rows that may be chosen. source: the N x V matrix, or None for selectors
    without one. tasks: task of every column. columns: how to name the columns to the user. normalisation: zscore or rank.
    seed: selection seed. pool: the columns of the pool that the selector's entry names, [N] or [N, epochs] each, numbers as such, texts as
    objects. states: unit states of the pool's rows, N x hidden, where the entry names their kind. clusters: of `s2l`.
    """

    rows: int
    valid: np.ndarray
    source: Source | None = None
    tasks: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    normalisation: str = "zscore"
    seed: int = 0
    pool: Mapping[str, np.ndarray] = field(default_factory=dict)
    states: Source | None = None
    clusters: int = 100

    @property
    def usable(self) -> np.ndarray:
        """`valid` as uint8, for the kernels."""
        return self.valid.view(np.uint8)

    def column_name(self, column: int) -> str:
        """A column in words: its number, its task and the validation example."""
        name = f", {self.columns[column]}" if self.columns else ""
        return f"column {column} (task {self.tasks[column]}{name})"

    def task_groups(self) -> tuple[list[str], np.ndarray]:
        """Task names in order of first appearance, and the number of its task for every column, int64 [V]."""
        names = list(dict.fromkeys(self.tasks))
        number = {name: i for i, name in enumerate(names)}
        return names, np.array([number[task] for task in self.tasks], dtype=np.int64)


@dataclass(frozen=True)
class Ranking:
    """Pool rows in the order of choice.

    rows int64 [B]; scores float64 [B] (NaN for selectors that score nothing); columns int64 [B], the validation column that won
    the step (-1: none did); margins float64 [B], by how much the step's choice beat the best other remaining row (0: a tie that the
    smaller row index won; NaN: nothing was left, or nothing is scored).
    """

    rows: np.ndarray
    scores: np.ndarray
    columns: np.ndarray
    margins: np.ndarray = field(repr=False)


def unscored(rows: np.ndarray) -> Ranking:
    """A ranking without scores."""
    nothing = np.full(len(rows), np.nan)
    return Ranking(rows.astype(np.int64), nothing, np.full(len(rows), NO_COLUMN, np.int64), nothing.copy())


def ranked_by_score(scores: np.ndarray, columns: np.ndarray, valid: np.ndarray, rows: int) -> Ranking:
    """The `rows` valid rows of highest score, smallest row index first among equals. scores float64 [N], columns int64 [N]."""
    candidates = np.flatnonzero(valid)
    values = scores[candidates]
    if rows + 1 < len(candidates):
        border = np.partition(values, len(values) - rows - 1)[len(values) - rows - 1]
        kept = values >= border
        candidates, values = candidates[kept], values[kept]
    order = np.argsort(-values, kind="stable")[: rows + 1]
    ordered = values[order]
    margins = np.full(rows, np.nan)
    margins[: len(ordered) - 1] = (ordered[:-1] - ordered[1:])[:rows]
    chosen = candidates[order[:rows]]
    return Ranking(chosen, ordered[:rows], columns[chosen].astype(np.int64), margins)
