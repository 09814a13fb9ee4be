"""Pool rows of the trials, drawn by seed alone: from the rows with a completion token, whatever estimator, job or number of trials."""

import numpy as np

from equipoise.budgets import budget_rows
from equipoise.comparison import ONLY, RANDOM, SUBSET, WITHOUT, Retraining
from equipoise.seeds import derive_seed


def one_step_rows(usable: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Rows that steps are taken on, in the order drawn, int64 [at most rows]: fewer are the first of more."""
    return _shuffled(usable, seed, "one_step")[:rows]


def subset_rows(usable: np.ndarray, share: float, number: int, seed: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Rows of a random subset, sorted, int64; as many whatever the strata.

    strata: of every usable row, [n]. Each stratum then has a weight of its own in each subset, uniform in (0, 1], and rows are drawn one
    after the other without replacement in proportion to it: the rows of largest log(u) / weight (Efraimidis and Spirakis 2006).
    """
    count = budget_rows(share, len(usable))
    if strata is None:
        return np.sort(_shuffled(usable, seed, "subset", number)[:count])
    _, stratum = np.unique(strata, return_inverse=True)
    generator = np.random.Generator(np.random.PCG64(derive_seed(seed, "validation", "stratified subset", number)))
    weights = 1 - generator.random(stratum.max() + 1)
    keys = np.log(1 - generator.random(len(usable))) / weights[stratum]
    return np.sort(usable[np.argsort(-keys, kind="stable")[:count]])


def trained_rows(
    each: Retraining, usable: np.ndarray, scores: np.ndarray | None, subset_share: float, seed: int, strata: np.ndarray | None = None
) -> np.ndarray:
    """Rows that a retraining is trained on, sorted, int64. usable: int64, rows that may be; scores: of every pool row, by which some are
    chosen; strata: of `subset_rows`. The most helpful rows have the highest scores, the smaller row first among equal ones, and NaN last.
    """
    if each.kind == SUBSET:
        return subset_rows(usable, subset_share, each.number, seed, strata)
    if each.of == RANDOM:
        order = _shuffled(usable, seed, "random", each.number)
    else:
        order = usable[np.argsort(-np.nan_to_num(scores[usable], nan=-np.inf), kind="stable")]
    count = budget_rows(each.share, len(usable))
    return np.sort({WITHOUT: order[count:], ONLY: order[:count]}[each.kind])


def _shuffled(usable: np.ndarray, seed: int, *purpose: str | int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(derive_seed(seed, "validation", *purpose))).permutation(usable)
