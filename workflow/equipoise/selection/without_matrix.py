"""Selectors that look at no matrix: `random`, `full` and, in generated pools, `oracle`."""

import numpy as np

from equipoise.errors import UserError
from equipoise.selection.problem import Problem, Ranking, unscored


def random(problem: Problem, rows: int) -> Ranking:
    """The first `rows` rows of a uniform permutation by selection seed: rows sorted by a 64-bit draw each.

    Draws are raw PCG64 output, which numpy keeps stable across versions, unlike `Generator.permutation`.
    """
    draws = np.random.PCG64(problem.seed).random_raw(problem.rows)
    candidates = np.flatnonzero(problem.valid)
    return unscored(candidates[np.argsort(draws[candidates], kind="stable")[:rows]])


def full(problem: Problem, rows: int) -> Ranking:
    """All valid rows in the pool's order, whatever `rows` says."""
    return unscored(np.flatnonzero(problem.valid))


def oracle(problem: Problem, rows: int) -> Ranking:
    """Valid rows by `oracle_rank`, smallest first; rows without one follow in the pool's order.

    Raises `UserError` when no row has one.
    """
    if problem.oracle is None or np.isnan(problem.oracle).all():
        raise UserError("selector oracle: the pool's metadata has no oracle_rank; only generated pools do, use another selector")
    candidates = np.flatnonzero(problem.valid)
    planted = problem.oracle[candidates]
    order = np.argsort(np.where(np.isnan(planted), np.inf, planted), kind="stable")
    return unscored(candidates[order[:rows]])
