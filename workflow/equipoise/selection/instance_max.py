"""`instance_max` (the paper's Unnormalized) and `rds`: s_i = max_j A_ij, largest first."""

import numpy as np

from equipoise.selection.problem import Problem, Ranking, ranked_by_score
from equipoise.selection.score_rows import largest_entries


def rank(problem: Problem, rows: int) -> Ranking:
    """The `rows` rows of largest entry; columns: the first column that has it."""
    columns = problem.source.columns
    identity = np.zeros(columns), np.ones(columns), np.ones(columns, bool)
    scores, winners = largest_entries(problem.source, problem.usable, *identity)
    return ranked_by_score(scores, winners, problem.valid, rows)
