"""Reads any matrix that can be sliced by rows, block by block, so that nothing larger than a block need be in memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from equipoise.errors import UserError, first_line
from equipoise.layout import CHUNK_ROWS
from equipoise.selection.parallel import WORTH_A_THREAD

BLOCK_BYTES = 32 * 2**20
DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a matrix: `start`, and values float32 or float64 [n, V], C-contiguous. Starts are multiples of 1,024."""

    start: int
    values: np.ndarray


class Part(NamedTuple):
    """Rows of a list that lie in one block. of: number of the list; places: int64 [n], where in it, ascending; values: the rows, [n, V]."""

    of: int
    places: np.ndarray
    values: np.ndarray


class Source:
    """An N x V matrix of float16, float32 or float64 that is read by rows: numpy, zarr, anything with `shape` and row slices.

    `direct` is the matrix itself where it lies in memory in the form the kernels read (C-contiguous float32 or float64), else None.
    `dtype` is the one of the blocks: float16 is widened to float32, which is exact.
    Raises `UserError` for another shape or dtype and for a matrix without rows or columns.
    """

    def __init__(self, matrix: Any, name: str = "matrix", show_progress: bool = False):
        if not hasattr(matrix, "shape"):
            matrix = np.asarray(matrix)
        shape = tuple(int(n) for n in matrix.shape)
        if len(shape) != 2 or 0 in shape:
            raise UserError(f"{name}: shape {shape}; write an N x V matrix, one row per pool example and one column per validation example")
        self.name = name
        self.rows, self.columns = shape
        self._matrix = matrix
        kind = _dtype(matrix)
        if kind.name not in DTYPES:
            raise UserError(f"{name}: dtype {kind}; write float16, float32 or float64")
        self.dtype = np.dtype("float64") if kind.itemsize == 8 else np.dtype("float32")
        in_memory = isinstance(matrix, np.ndarray) and matrix.dtype == self.dtype and matrix.dtype.isnative
        self.direct = matrix.view(np.ndarray) if in_memory and matrix.flags.c_contiguous and matrix.flags.aligned else None
        self._step = self._rows_at_once(BLOCK_BYTES)
        self._show = show_progress

    @property
    def nbytes(self) -> int:
        """Size of the matrix as blocks."""
        return self.rows * self.columns * self.dtype.itemsize

    def _rows_at_once(self, block_bytes: int) -> int:
        """Whole storage chunks (a part of one would be decoded again by the next read), and about `block_bytes`."""
        chunk = CHUNK_ROWS
        for attribute in ("shards", "chunks"):
            stored = getattr(self._matrix, attribute, None)
            if isinstance(stored, tuple) and stored and isinstance(stored[0], int):
                chunk = stored[0]
                break
        return chunk * max(1, round(block_bytes / (self.columns * self.dtype.itemsize * chunk)))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), C-contiguous, in the blocks' dtype."""
        if self.direct is not None:
            return self.direct[start:stop]
        try:
            piece = np.asarray(self._matrix[start:stop])
        except UserError:
            raise
        except Exception as error:  # of a user's matrix that only looks like one: whatever its library stumbles over
            raise UserError(f"{self.name}: rows {start} to {stop - 1} cannot be read: {first_line(error)}; write it again") from None
        if piece.shape != (stop - start, self.columns):
            raise UserError(f"{self.name}: rows {start} to {stop - 1} have shape {piece.shape}, not {(stop - start, self.columns)}")
        return np.ascontiguousarray(piece, dtype=self.dtype)

    def blocks(self) -> Iterator[Block]:
        """All rows in order. Where reading costs time, the next block is read while the caller works on this one."""
        if not self._show:
            return self._blocks()
        from equipoise.progress import track

        return track(self._blocks(), f"reading {self.name}", self.rows, "rows", lambda block: len(block.values))

    def parts(self, *lists: np.ndarray) -> Iterator[Part]:
        """The rows that lists of row numbers (int64) name, in one reading: block by block, those of each list that has some there.

        Where the matrix is a single block, they come in the order of the list.
        """
        orders = [np.argsort(rows, kind="stable") for rows in lists]
        ascending = [rows[order] for rows, order in zip(lists, orders, strict=True)]
        for block in self.blocks():
            bounds = (block.start, block.start + len(block.values))
            for of, rows in enumerate(lists):
                places = np.sort(orders[of][slice(*np.searchsorted(ascending[of], bounds))])
                if len(places):
                    yield Part(of, places, block.values[rows[places] - block.start])

    def _blocks(self) -> Iterator[Block]:
        carried: np.ndarray | None = None
        start = 0
        for piece in self._pieces():
            if carried is not None:
                missing = CHUNK_ROWS - len(carried)
                joined = np.concatenate([carried, piece[:missing]])
                piece = piece[missing:]
                if len(joined) < CHUNK_ROWS:
                    carried = joined
                    continue
                carried = None
                yield Block(start, joined)
                start += len(joined)
            is_last = start + len(piece) == self.rows
            whole = len(piece) if is_last else len(piece) // CHUNK_ROWS * CHUNK_ROWS
            if whole:
                yield Block(start, piece[:whole])
                start += whole
            if whole < len(piece):
                carried = piece[whole:].copy()
        if carried is not None:
            yield Block(start, carried)

    def _pieces(self) -> Iterator[np.ndarray]:
        bounds = [(start, min(start + self._step, self.rows)) for start in range(0, self.rows, self._step)]
        if self.direct is not None or self.nbytes < WORTH_A_THREAD:
            yield from (self.read(*bound) for bound in bounds)
            return
        with ThreadPoolExecutor(1, "matrix-reader") as reader:
            ahead = reader.submit(self.read, *bounds[0])
            for bound in [*bounds[1:], None]:
                piece = ahead.result()
                if bound is not None:
                    ahead = reader.submit(self.read, *bound)
                yield piece
                del piece


def _dtype(matrix: Any) -> np.dtype:
    try:
        return np.dtype(matrix.dtype)
    except (AttributeError, TypeError):
        return np.asarray(matrix[:1]).dtype
