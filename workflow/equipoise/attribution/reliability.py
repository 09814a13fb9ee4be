"""How far projection noise lets a matrix be trusted: the matrix from every second stored coordinate against that from the others.

By column, the correlation r of the two over the valid rows, corrected to the whole width: 2 r / (1 + r) (method.md, "Reliability").
Co-moments are taken per 1,024-row chunk and merged in row order, so that the number of shards changes no bit. Rows are not scaled to unit
length again in either half, whose lengths differ by far less than what they say.
"""

from collections.abc import Iterable, Sequence

import numpy as np

ENOUGH = 0.9
"""A median below it is warned of."""
REACHED = 0.95
"""What `gradients.projection.dimension: auto` reaches."""


def half(rows: np.ndarray) -> np.ndarray:
    """Every second coordinate of rows, [n, ceil(k / 2)]."""
    return np.ascontiguousarray(rows[:, ::2])


def co_moments(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of a chunk's valid rows by column, float64 [5, V]: both means, both sums of squared deviations, and the sum of their products."""
    if not len(first):
        return np.zeros((5, first.shape[1]))
    first, second = first.astype(np.float64), second.astype(np.float64)
    means = first.mean(axis=0), second.mean(axis=0)
    one, other = first - means[0], second - means[1]
    return np.stack([*means, (one * one).sum(axis=0), (other * other).sum(axis=0), (one * other).sum(axis=0)])


def merged(counts: Sequence[int], chunks: Iterable[np.ndarray]) -> np.ndarray:
    """Co-moments of all rows from those of chunks with so many valid rows, in row order."""
    count, total = 0, None
    for rows, part in zip(counts, chunks, strict=True):
        if total is None:
            count, total = rows, part.copy()
        elif rows:
            step, whole = part[:2] - total[:2], count + rows
            total[:2] += step * (rows / whole)
            weight = count * (rows / whole)
            total[2:4] += part[2:4] + step**2 * weight
            total[4] += part[4] + step[0] * step[1] * weight
            count = whole
    return total


def reliability(total: np.ndarray) -> np.ndarray:
    """Of every column, float64 [V], from its co-moments; NaN for a column constant in a half. An r of 0 or less is left as it is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        r = total[4] / np.sqrt(total[2] * total[3])
        return np.where(r > 0, 2 * r / (1 + r), r)


def forecast(known: float, times: float) -> float:
    """Reliability at `times` the width from that at a width (Spearman-Brown)."""
    return times * known / (1 + (times - 1) * known)


def needed(known: float, wanted: float = REACHED) -> float:
    """How many times the width a reliability of `wanted` takes, by that known at a width (Spearman-Brown); infinite for 0 or less."""
    return wanted * (1 - known) / (known * (1 - wanted)) if known > 0 else float("inf")
