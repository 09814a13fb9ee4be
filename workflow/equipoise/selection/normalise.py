"""The two normalisations (method.md, "Normalisation"), and which columns carry information."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from equipoise.attribution.column_moments import Moments
from equipoise.errors import UserError
from equipoise.selection.parallel import in_parallel
from equipoise.selection.problem import Problem
from equipoise.selection.source import Source
from equipoise.selection.top_lists import refuse_non_finite

NORMALISATIONS = ("zscore", "rank")
IN_MEMORY_BYTES = 256 * 2**20
COLUMN_BYTES = 128 * 2**20


def informative(problem: Problem, moments: Moments) -> np.ndarray:
    """bool [V]: columns that vary over the valid rows; warns of the others by name.

    Raises `UserError` with a single valid row (no sigma) and when no column varies.
    """
    if moments.count < 2:
        raise UserError(
            f"{problem.source.name}: {moments.count} valid row has no standard deviation; give at least two, or use a selector without "
            "normalisation"
        )
    constant = np.flatnonzero(moments.constant)
    if len(constant) == problem.source.columns:
        raise UserError(f"{problem.source.name}: every column is constant over the valid rows; such a matrix ranks nothing")
    for column in constant:
        warnings.warn(f"{problem.column_name(column)} is constant over the valid rows and is left out", stacklevel=2)
    return ~moments.constant


@contextmanager
def normalised_source(problem: Problem) -> Iterator[tuple[Source, Moments | None]]:
    """The matrix whose (value - mean) / std is the normalised one, and mean and std where they are known beforehand.

    zscore: the matrix itself; its moments are computed in the pass that reads it.
    rank: twice the mean ranks, integers, with mean 0 and std 2 N_valid, so that the quotient is the mean rank's share in (0, 1].
    """
    if problem.normalisation == "zscore":
        yield problem.source, None
        return
    with tempfile.TemporaryFile() as file:
        doubled, constant = _doubled_ranks(problem, file)
        count = int(np.count_nonzero(problem.valid))
        std = np.where(constant, 0.0, 2.0 * count)
        yield Source(doubled, problem.source.name), Moments(count, np.zeros(len(std)), std)


def _doubled_ranks(problem: Problem, file) -> tuple[np.ndarray, np.ndarray]:
    """Twice the mean rank of every valid entry within its column (1: smallest), and which columns are constant, bool [V].

    float32 [N, V] where that holds the integers exactly, else float64; on disk (`file`) when it is large. Invalid rows hold 0.
    """
    source, valid = problem.source, problem.valid
    dtype = np.dtype("float32" if 2 * source.rows < 2**24 else "float64")
    shape = (source.rows, source.columns)
    if source.rows * source.columns * dtype.itemsize <= IN_MEMORY_BYTES:
        doubled = np.zeros(shape, dtype)
    else:
        doubled = np.memmap(file, dtype, "w+", shape=shape)
    constant = np.zeros(source.columns, bool)
    width = max(1, COLUMN_BYTES // (source.rows * source.dtype.itemsize))
    for first in range(0, source.columns, width):
        columns = _read_columns(source, valid, first, min(first + width, source.columns))
        for column, (ranks, equal) in enumerate(in_parallel(_column_ranks, columns, columns.nbytes), start=first):
            doubled[valid, column] = ranks
            constant[column] = equal
    return doubled, constant


def _read_columns(source: Source, valid: np.ndarray, first: int, last: int) -> np.ndarray:
    """The valid entries of columns [first, last), [last - first, N_valid]; reads the matrix once."""
    columns = np.empty((last - first, np.count_nonzero(valid)), source.dtype)
    at = 0
    for block in source.blocks():
        use = valid[block.start : block.start + len(block.values)]
        if first == 0 and not np.isfinite(block.values[use]).all():
            refuse_non_finite(block, use, source)
        part = block.values[use, first:last]
        columns[:, at : at + len(part)] = part.T
        at += len(part)
    return columns


def _column_ranks(values: np.ndarray) -> tuple[np.ndarray, bool]:
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    stops = np.append(starts[1:], len(values))
    # ranks start + 1 ... stop share their mean, (start + 1 + stop) / 2
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.repeat(starts + 1 + stops, stops - starts)
    return ranks, len(starts) == 1
