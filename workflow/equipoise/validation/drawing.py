"""Pool rows of the trials, drawn by seed alone: from the rows with a completion token, whatever estimator, job or number of trials."""

import numpy as np

from equipoise.budgets import budget_rows
from equipoise.comparison import ONLY, RANDOM, SUBSET, WITHOUT, Retraining
from equipoise.seeds import derive_seed


def one_step_rows(usable: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Rows that steps are taken on, in the order drawn, int64 [at most rows]: fewer are the first of more."""
    return _shuffled(usable, seed, "one_step")[:rows]


def subset_rows(usable: np.ndarray, share: float, number: int, seed: int) -> np.ndarray:
    """Rows of a random subset, sorted, int64."""
    return np.sort(_shuffled(usable, seed, "subset", number)[: budget_rows(share, len(usable))])


def trained_rows(each: Retraining, usable: np.ndarray, scores: np.ndarray | None, subset_share: float, seed: int) -> np.ndarray:
    """Rows that a retraining is trained on, sorted, int64. usable: int64, rows that may be; scores: of every pool row, by which some are
    chosen. The most helpful rows have the highest scores, the smaller row first among equal ones, and NaN last.
    """
    if each.kind == SUBSET:
        return subset_rows(usable, subset_share, each.number, seed)
    if each.of == RANDOM:
        order = _shuffled(usable, seed, "random", each.number)
    else:
        order = usable[np.argsort(-np.nan_to_num(scores[usable], nan=-np.inf), kind="stable")]
    count = budget_rows(each.share, len(usable))
    return np.sort({WITHOUT: order[count:], ONLY: order[:count]}[each.kind])


def _shuffled(usable: np.ndarray, seed: int, *purpose: str | int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "validation", *purpose))).permutation(usable)
