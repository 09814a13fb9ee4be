"""Selectors that need no influence: by length, by losses of the untuned base, by what gradient stores hold beside the gradients.

A row without a number (no loss) comes last.
"""

import numpy as np

from equipoise.selection.problem import NO_COLUMN, Problem, Ranking, ranked_by_score, unscored
from equipoise.selectors import ALONE, BASE_LOSS, LOSSES, NORMS

LAST = -1e300
"""Score of a row without a number."""
ROUNDS = 100
"""Most rounds of Lloyd's algorithm; it nearly always ends before."""


def longest(problem: Problem, rows: int) -> Ranking:
    """The rows with the most tokens of response. Source: Zhao et al. 2024, Long Is More for Alignment (arXiv 2402.04833)."""
    return _ranked(problem, problem.pool["completion_tokens"].astype(np.float64), rows)


def gradient_norm(problem: Problem, rows: int) -> Ranking:
    """The rows with the largest mean norm of their stored gradients over the epochs of every warm-up.

    Source: GraNd, Paul et al. 2021 (arXiv 2107.07075).
    """
    return _ranked(problem, problem.pool[NORMS].astype(np.float64).mean(axis=1), rows)


def perplexity(problem: Problem, rows: int) -> Ranking:
    """The middle band of perplexity under the untuned base: valid rows sorted by it, those nearest to the middle place first.

    Source: Marion et al. 2023, When Less is More (arXiv 2309.04564), whose best pruning keeps the middle.
    """
    loss = problem.pool[BASE_LOSS].astype(np.float64)
    usable = np.flatnonzero(problem.valid & np.isfinite(loss))
    score = np.full(problem.rows, np.nan)
    score[usable[np.argsort(loss[usable], kind="stable")]] = -np.abs(np.arange(len(usable)) - (len(usable) - 1) / 2)
    return _ranked(problem, score, rows)


def ifd(problem: Problem, rows: int) -> Ranking:
    """The highest instruction-following difficulty below 1: loss of the response with its prompt over the loss without it.

    Rows of 1 or more, whose prompt does not help, follow, the smallest first. Source: Li et al. 2024 (arXiv 2308.12032).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = problem.pool[BASE_LOSS].astype(np.float64) / problem.pool[ALONE].astype(np.float64)
    return _ranked(problem, np.where(ratio < 1, ratio, -ratio), rows)


def loss_drop(problem: Problem, rows: int) -> Ranking:
    """The smallest share of the total loss drop, from the untuned base to the last epoch, that happens in the first epoch.

    Such rows are learned late; of several warm-ups the first counts. Rows whose loss does not drop come last. Source: learning percentage,
    Mekala et al. 2024 (arXiv 2402.10430), of losses instead of perplexities.
    """
    before, after = problem.pool[BASE_LOSS].astype(np.float64), problem.pool[LOSSES].astype(np.float64)
    total = before - after[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, (before - after[:, 0]) / total, np.nan)
    return _ranked(problem, -share, rows)


def s2l(problem: Problem, rows: int) -> Ranking:
    """Clusters of the loss trajectories over epochs (`selection.clusters`), in turns: every cluster gives one row a turn until it has none.

    k-means by Lloyd's algorithm in float64, started at the rows that stand evenly spaced in the order of mean loss; within a cluster the
    order is random, the same every time. Of several warm-ups the first counts. Source: S2L, Yang et al. 2024 (arXiv 2403.07384).
    """
    losses = problem.pool[LOSSES].astype(np.float64)
    usable = np.flatnonzero(problem.valid & np.isfinite(losses).all(axis=1))
    cluster = clusters(losses[usable], min(problem.clusters, len(usable)))
    draws = np.random.PCG64(problem.seed).random_raw(problem.rows)
    order = np.lexsort((draws[usable], cluster))
    turn = np.empty(len(usable), np.int64)
    starts = np.searchsorted(cluster[order], np.arange(cluster.max(initial=-1) + 1))
    turn[order] = np.arange(len(usable)) - starts[cluster[order]]
    ranked = usable[np.lexsort((cluster, turn))]
    left = np.setdiff1d(np.flatnonzero(problem.valid), ranked)
    return unscored(np.concatenate([ranked, left])[:rows])


def clusters(points: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the clusters of points, int64 [n], of float64 [n, d]; a cluster that loses its points keeps its centre."""
    if not len(points):
        return np.zeros(0, np.int64)
    order = np.argsort(points.mean(axis=1), kind="stable")
    centres = points[order[(np.arange(count) * len(points)) // count]]
    nearest = np.full(len(points), -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, _nearest(points, centres)
        if (before == nearest).all():
            break
        sizes = np.bincount(nearest, minlength=count)
        for axis in range(points.shape[1]):
            sums = np.bincount(nearest, points[:, axis], minlength=count)
            centres[:, axis] = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres[:, axis])
    return nearest


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest centre, the smallest of several; one centre at a time, so that memory holds one distance a point."""
    best, number = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    for at, centre in enumerate(centres):
        distance = ((points - centre) ** 2).sum(axis=1)
        closer = distance < best
        best[closer], number[closer] = distance[closer], at
    return number


def _ranked(problem: Problem, scores: np.ndarray, rows: int) -> Ranking:
    scores = np.where(np.isfinite(scores), scores, LAST)
    return ranked_by_score(scores, np.full(problem.rows, NO_COLUMN), problem.valid, rows)
