"""A matrix of any size whose rows are made when they are read, for as long as they are read: what selection takes for one on disk."""

from itertools import pairwise

import numpy as np

CHUNK = 1024
STOCK = 8192
SPREAD = 0.3  # of the logarithms of the rows' scales: some rows are strong for all columns, as in influence


class VirtualMatrix:
    """float32 [rows, columns] of random numbers. Every chunk of 1,024 rows is made from the seed and its number alone, alike each time.

    A row is one of a stock of `STOCK` normal rows, rotated by a number of columns of its chunk's own and scaled by one of its own: so rows
    differ and cost little more than a copy. read_rows: rows made so far; largest: most rows made by one reading.
    """

    chunks = (CHUNK,)
    dtype = np.dtype(np.float32)

    def __init__(self, rows: int, columns: int, seed: int = 0):
        self.shape = (rows, columns)
        self.read_rows = self.largest = 0
        self._seed = seed
        stock = np.random.Generator(np.random.Philox(key=[seed, 0])).standard_normal((STOCK, columns), dtype=np.float32)
        self._stock = np.concatenate([stock, stock], axis=1)  # a rotated row is a slice of it

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise IndexError("rows are read in order")
        made = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
        borders = [start, *range((start // CHUNK + 1) * CHUNK, stop, CHUNK), stop]
        for low, high in pairwise(borders):
            self._make(low, made[low - start : high - start])
        self.read_rows += len(made)
        self.largest = max(self.largest, len(made))
        return made

    def _make(self, first: int, out: np.ndarray) -> None:
        """Fills `out` with rows from `first` on, all of one chunk."""
        generator = np.random.Generator(np.random.Philox(key=[self._seed, 1 + first // CHUNK]))
        turn = int(generator.integers(self.shape[1]))
        inside = slice(first % CHUNK, first % CHUNK + len(out))
        chosen = generator.integers(STOCK, size=CHUNK)[inside]
        scale = np.exp(SPREAD * generator.standard_normal(CHUNK, dtype=np.float32))[inside]
        np.multiply(self._stock[chosen, turn : turn + self.shape[1]], scale[:, None], out=out)
