"""Selectors that look at no matrix: `random`, `full` and, in generated pools, `oracle`."""

import json

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
    """Valid rows by their metadata's `oracle_rank`, smallest first; rows without one follow in the pool's order.

    Raises `UserError` when no row has one.
    """
    ranks = [json.loads(text or "{}").get("oracle_rank") for text in problem.pool["metadata"]]
    planted = np.array([np.inf if rank is None else float(rank) for rank in ranks])
    if np.isinf(planted).all():
        raise UserError("selector oracle: the pool's metadata has no oracle_rank; only generated pools do, use another selector")
    candidates = np.flatnonzero(problem.valid)
    return unscored(candidates[np.argsort(planted[candidates], kind="stable")[:rows]])
