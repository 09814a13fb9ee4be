"""Statistics of scores: pure functions on arrays.

Scores of a task are an array [runs, suite seeds, items]: values in 0..1, or losses in nats a token (measures.py). A run's task score is
the mean over items, the median over suite seeds (IFEval is generated three times), in points (0..100) or nats; its macro average is the
plain mean over tasks.
"""

from collections.abc import Sequence

import numpy as np

ITEMS_AT_ONCE = 2_000_000  # resampled item indices held in memory at a time
NO_SCATTER = 1e-9  # points; less between equal means is rounding


def task_scores(scores: Sequence[np.ndarray], scale: float = 100.0) -> np.ndarray:
    """Task scores, float64 [runs, tasks], from one array [runs, suite seeds, items] per task; scale: of an item's value, to points."""
    return np.stack([np.median(task.astype(np.float64).mean(axis=2), axis=1) for task in scores], axis=1) * scale


def resampled_scores(scores: np.ndarray, draws: int, rng: np.random.Generator, scale: float = 100.0) -> np.ndarray:
    """A task's scores after resampling its items with replacement: `scale` times their mean, float32 [draws, runs].

    scores: float [runs, suite seeds, items]. Within a draw every run sees the same items, so differences between runs are paired
    by item; the median over suite seeds is taken again in every draw.
    """
    runs, seeds, items = scores.shape
    columns = np.ascontiguousarray(scores.reshape(runs * seeds, items).T, np.float32)
    result = np.empty((draws, runs), np.float32)
    step = max(1, ITEMS_AT_ONCE // items)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        means = (resample_counts(items, items, size, rng) @ columns).reshape(size, runs, seeds) * np.float32(scale / items)
        result[start : start + size] = means[:, :, 0] if seeds == 1 else np.median(means, axis=2)
    return result


def resample_counts(population: int, size: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of `population` units is drawn when `size` are drawn with replacement: float32 [draws, population]."""
    picks = rng.integers(0, population, (draws, size))
    picks += np.arange(draws)[:, None] * population
    return np.bincount(picks.ravel(), minlength=draws * population).reshape(draws, population).astype(np.float32)


def seed_weights(seeds: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap weights of `seeds` seeds, float32 [draws, seeds], each row summing to 1.

    Draws n - 1 of n with replacement: the variance of a mean is then unbiased, where n of n would understate it by (n - 1)/n, a third
    at three seeds (Rao and Wu 1988, JASA 83:231). A single seed has weight 1: nothing can be said about its variance.
    """
    if seeds == 1:
        return np.ones((draws, 1), np.float32)
    return resample_counts(seeds, seeds - 1, draws, rng) / np.float32(seeds - 1)


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap draws along the first axis."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def two_sided_p(differences: np.ndarray) -> float:
    """Two-sided bootstrap p-value of a difference being zero: twice the smaller tail of the draws, the observed one counted in.

    Far too small by itself at three runs a side: where they are separated, every draw has one sign, which chance alone brings about in
    one of ten cases. `runs_p` stands beside it for that reason.
    """
    draws = len(differences)
    smaller = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (1 + smaller) / (1 + draws))


def runs_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Two-sided p of Welch's t-test (Welch 1947) between the macro averages of two arms' runs, one value per run, in points.

    nan where neither side's runs scatter at all: they then say nothing about how far another run would fall.
    """
    from scipy.stats import ttest_ind_from_stats

    if max(np.ptp(ours), np.ptp(theirs)) < NO_SCATTER:
        return float("nan")
    sides = [(np.mean(side), np.std(side, ddof=1), len(side)) for side in (ours, theirs)]
    return float(ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue)


def draws_interval(differences: np.ndarray, error: float) -> tuple[float, float]:
    """Interval of bootstrap draws that leaves out 0 exactly where `two_sided_p` is below `error`; it holds 0 where draws are too few."""
    ordered = np.sort(differences)
    place = int(np.ceil(error * (1 + len(ordered)) / 2)) - 2
    if place < 0:
        return min(float(ordered[0]), 0.0), max(float(ordered[-1]), 0.0)
    return float(ordered[place]), float(ordered[-1 - place])


def runs_interval(ours: Sequence[float], theirs: Sequence[float], error: float) -> tuple[float, float]:
    """Welch's interval of the difference of two arms' mean macro averages: it leaves out 0 exactly where `runs_p` is below `error`."""
    from scipy.stats import t

    shares = np.array([np.var(side, ddof=1) / len(side) for side in (ours, theirs)])
    freedom = shares.sum() ** 2 / sum(share**2 / (len(side) - 1) for share, side in zip(shares, (ours, theirs), strict=True))
    reach = float(t.ppf(1 - error / 2, freedom) * np.sqrt(shares.sum()))
    middle = float(np.mean(ours) - np.mean(theirs))
    return middle - reach, middle + reach


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment over all given p-values (Holm 1979): float64, same order."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def macro_standard_error(scores: Sequence[np.ndarray], scale: float = 100.0) -> float:
    """Standard error in points of an arm's macro average over the items alone: sqrt(sum of squared task errors) / tasks.

    Item scores are averaged over runs and suite seeds first; sd has ddof = 1. For suites with several seeds the mean stands in for
    the median, which has no such closed form.
    """
    errors = [task.mean(axis=(0, 1)).std(ddof=1) / np.sqrt(task.shape[2]) if task.shape[2] > 1 else np.nan for task in scores]
    return float(np.sqrt(np.sum(np.square(errors))) / len(errors) * scale)


def balance(gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation (ddof = 1) and minimum over tasks (last axis) of gains in points; the sd of a single task is nan."""
    if gains.shape[-1] < 2:
        return np.full(gains.shape[:-1], np.nan), gains.min(axis=-1)
    return gains.std(axis=-1, ddof=1), gains.min(axis=-1)
