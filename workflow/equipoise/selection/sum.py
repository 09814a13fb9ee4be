"""`sum`: s_i = sum_j A_ij in float64, added in column order, largest first."""

import numpy as np

from equipoise.selection.problem import NO_COLUMN, Problem, Ranking, ranked_by_score
from equipoise.selection.score_rows import sums_by_task


def rank(problem: Problem, rows: int) -> Ranking:
    """The `rows` rows of largest sum; no column wins."""
    everything = np.zeros(problem.source.columns, np.int64)
    scores = sums_by_task(problem.source, problem.usable, everything, 1)[:, 0]
    return ranked_by_score(scores, np.full(problem.rows, NO_COLUMN), problem.valid, rows)
