"""Rank correlations by validation example, and their bootstrap over rows (or subsets) and validation examples. Arrays in, arrays out.

Every candidate is resampled by the same draws, so that differences between candidates are paired. Validation examples are drawn within
their task, which stays as large as it is. A resampled row counts as often as it was drawn; its rank is the mean rank of its copies, so that
the correlation is exactly Spearman's of the resampled data.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Resamples:
    """Bootstrap draws. rows: float64 [draws, n], how often each row was drawn; columns: float64 [draws, V]."""

    rows: np.ndarray
    columns: np.ndarray


def resamples(rows: int, tasks: np.ndarray, seed: int, draws: int = DRAWS) -> Resamples:
    """Draws of `rows` rows, and of the columns within their tasks. tasks: [V], of every column."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(rows, np.full(rows, 1 / rows), size=draws).astype(np.float64)
    columns = np.zeros((draws, len(tasks)))
    for task in dict.fromkeys(tasks.tolist()):
        places = np.flatnonzero(tasks == task)
        columns[:, places] = generator.multinomial(len(places), np.full(len(places), 1 / len(places)), size=draws)
    return Resamples(drawn, columns)


def rank_correlations(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Spearman's correlation over rows of every column, float64 [V]; with weights [draws, n] one line a draw, [draws, V].

    predicted: [n, V], or [n, 1] for one prediction of all columns; true: [n, V]. Ties share their mean rank. What does not vary predicts
    nothing: 0.
    """
    predicted, true = np.ascontiguousarray(predicted, np.float64), np.ascontiguousarray(true, np.float64)
    many = np.ones((1, len(true))) if weights is None else np.ascontiguousarray(weights, np.float64)
    found = np.zeros((len(many), true.shape[1]))
    _correlate(predicted.T.copy(), _order(predicted), true.T.copy(), _order(true), many, found)
    return found[0] if weights is None else found


def _order(values: np.ndarray) -> np.ndarray:
    return np.argsort(values.T, axis=1, kind="stable")


@njit(nogil=True, cache=True)
def _ranks(values, order, weights, ranks):
    """Mean ranks of a weighted sample's rows."""
    before, start = 0.0, 0
    while start < len(order):
        end, total = start, 0.0
        while end < len(order) and values[order[end]] == values[order[start]]:
            total += weights[order[end]]
            end += 1
        for place in range(start, end):
            ranks[order[place]] = before + (total + 1) / 2
        before += total
        start = end


@njit(nogil=True, cache=True)
def _correlate(predicted, predicted_order, true, true_order, weights, found):
    rows = true.shape[1]
    first, second = np.empty(rows), np.empty(rows)
    for draw in range(len(weights)):
        weight = weights[draw]
        mean = (weight.sum() + 1) / 2
        for column in range(len(true)):
            own = min(column, len(predicted) - 1)
            if column == 0 or len(predicted) > 1:
                _ranks(predicted[own], predicted_order[own], weight, first)
            _ranks(true[column], true_order[column], weight, second)
            both, one, other = 0.0, 0.0, 0.0
            for row in range(rows):
                x, y = first[row] - mean, second[row] - mean
                both += weight[row] * x * y
                one += weight[row] * x * x
                other += weight[row] * y * y
            found[draw, column] = both / np.sqrt(one * other) if one > 0 and other > 0 else 0.0


def ceiling(losses: np.ndarray) -> np.ndarray:
    """Of every column, how well the mean of the seeds' losses agrees with that of as many other seeds, float64 [V].

    losses: [seeds, n, V]. The mean rank correlation r between two seeds over rows, corrected to their number S (Spearman 1910, Brown 1910):
    S r / (1 + (S - 1) r). A prediction without any error correlates by the root of it on average. An r of 0 or less is left as it is.
    """
    seeds = len(losses)
    pairs = [rank_correlations(losses[a], losses[b]) for a in range(seeds) for b in range(a)]
    r = np.mean(pairs, axis=0)
    return np.where(r > 0, seeds * r / (1 + (seeds - 1) * np.maximum(r, 0)), r)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The bootstrap's interval of `LEVEL`: quantiles of the draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def column_means(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Mean over drawn columns, [draws]. values: [draws, V] or [V]; columns: [draws, V], how often each was drawn."""
    return (values * columns).sum(axis=1) / columns.sum(axis=1)
