"""`random`: a uniform permutation of the valid rows by selection seed."""

import numpy as np

from equipoise.selection.problem import Problem, Ranking, unscored


def rank(problem: Problem, rows: int) -> Ranking:
    """The first `rows` rows of the permutation: rows sorted by a 64-bit draw each.

    Draws are raw PCG64 output, which numpy keeps stable across versions, unlike `Generator.permutation`.
    """
    draws = np.random.PCG64(problem.seed).random_raw(problem.rows)
    candidates = np.flatnonzero(problem.valid)
    return unscored(candidates[np.argsort(draws[candidates], kind="stable")[:rows]])
