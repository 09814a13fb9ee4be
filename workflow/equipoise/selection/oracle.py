"""`oracle`: the order the pool's own metadata plants (`oracle_rank`), an upper bound in generated pools."""

import numpy as np

from equipoise.errors import UserError
from equipoise.selection.problem import Problem, Ranking, unscored


def rank(problem: Problem, rows: int) -> Ranking:
    """Valid rows by `oracle_rank`, smallest first; rows without one follow in the pool's order.

    Raises `UserError` when no row has one.
    """
    if problem.oracle is None or np.isnan(problem.oracle).all():
        raise UserError("selector oracle: the pool's metadata has no oracle_rank; only generated pools do, use another selector")
    candidates = np.flatnonzero(problem.valid)
    planted = problem.oracle[candidates]
    order = np.argsort(np.where(np.isnan(planted), np.inf, planted), kind="stable")
    return unscored(candidates[order[:rows]])
