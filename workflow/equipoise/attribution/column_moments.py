"""Column moments of a matrix: exact partial moments per 1,024-row chunk, merged in row order (method.md, "Normalisation").

Because the partials belong to fixed chunks and are merged in row order, neither the number of shards nor of threads changes a bit.
"""

from dataclasses import dataclass

import numpy as np

from equipoise.compiled import Loop


@dataclass(frozen=True)
class Moments:
    """Moments of V columns over `count` valid rows: mean and std (ddof = 1), float64 [V]. std is 0 exactly for a constant column."""

    count: int
    mean: np.ndarray
    std: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        """bool [V]: the columns that carry no information."""
        return self.std == 0


@Loop
def chunk_partials(block, usable, first, last, mean, squares):
    """Partial moments of columns [first, last) of at most 1,024 rows; returns the number of usable rows.

    block: float32 or float64 [n, V]; usable: uint8 [n]. Fills float64 mean[first:last] and squares[first:last] (sum of squared
    deviations from that mean). Sums are taken about the first usable row, so that a huge common offset costs no digits and a
    constant column gives exactly 0.
    """
    count = 0
    pivot = -1
    for row in range(block.shape[0]):
        if usable[row]:
            if pivot < 0:
                pivot = row
            count += 1
    # loops over slices from 0 are what the compiler vectorises
    mean, squares = mean[first:last], squares[first:last]
    width = mean.shape[0]
    for column in range(width):
        mean[column] = 0.0
        squares[column] = 0.0
    if count == 0:
        return 0
    origin = block[pivot, first:last]
    for row in range(pivot + 1, block.shape[0]):
        if usable[row]:
            values = block[row, first:last]
            for column in range(width):
                mean[column] += np.float64(values[column]) - np.float64(origin[column])
    for column in range(width):
        mean[column] = np.float64(origin[column]) + mean[column] / count
    for row in range(pivot, block.shape[0]):
        if usable[row]:
            values = block[row, first:last]
            for column in range(width):
                deviation = np.float64(values[column]) - mean[column]
                squares[column] += deviation * deviation
    return count


@Loop
def merge_partials(count, mean, squares, first, last, total_count, total_mean, total_squares):
    """Adds the next chunk's partials of columns [first, last) to the totals (Chan, Golub & LeVeque's update); returns the new count.

    All float64 [V]; the counts are those of usable rows.
    """
    if count == 0:
        return total_count
    total = total_count + count
    for column in range(first, last):
        step = mean[column] - total_mean[column]
        total_mean[column] += step * (count / total)
        total_squares[column] += squares[column] + step * step * (total_count * (count / total))
    return total


def finish_moments(count: int, mean: np.ndarray, squares: np.ndarray) -> Moments:
    """Moments from merged totals; std is NaN with fewer than two rows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return Moments(int(count), mean, np.sqrt(squares / np.float64(count - 1)))
