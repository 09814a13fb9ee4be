"""Products of stored pool rows with the columns' rows, chunk by chunk: A[i, j] = sum_e w_e * <pool row i, column row j>.

Pool rows stream in 1,024-row chunks, the next one is read while this one is multiplied; accumulation is float32.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from equipoise.attribution.reliability import co_moments, half
from equipoise.compiled import Loop
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS
from equipoise.progress import track
from equipoise.store.gradients import VALID, GradientReader, one_minus_p

SCALE = np.float32(2.0**112)  # the difference of the two formats' exponent biases, 127 - 15


@dataclass(frozen=True)
class Term:
    """One epoch's share of the matrix.

    reader: the pool's store. targets: float32 [V, k], the columns' rows, times the epoch's weight. scaled: pool norms multiply back in.
    state: kind of hidden state, or None for gradients. residual: the epoch's weight in the mean of 1 - p, 0 where that takes no part.
    """

    reader: GradientReader
    targets: np.ndarray
    scaled: bool
    state: str | None
    residual: float = 0.0

    def read(self, start: int, stop: int, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """float32 [n, k] rows of the pool, in the first rows of `buffer`; bool [n], which of them are valid; 1 - p times `residual`."""
        if self.state is not None:
            values, status = self.reader.read_states(start, stop, self.state), self.reader.read_column("status", start, stop)
            return widened(values, buffer), status == VALID, None
        rows = self.reader.read(start, stop)
        values = widened(rows.directions, buffer)
        if self.scaled:
            values *= rows.norm[:, None]
        return values, rows.status == VALID, self.residual * one_minus_p(rows.loss) if self.residual else None


def assemble_chunks(
    terms: list[Term], start: int, stop: int, halves: list[np.ndarray] | None = None
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields (first row, matrix rows float32 [n, V], valid bool [n]) chunk by chunk; rows flagged in any term are NaN.

    halves: is given the co-moments of each chunk's two halves (`reliability`).
    """
    bounds = [(at, min(at + CHUNK_ROWS, stop)) for at in range(start, stop, CHUNK_ROWS)]
    parts = [(term, bound) for bound in bounds for term in terms]
    # fresh pages cost as much as the reading: one buffer is filled while the other is multiplied
    buffers = [np.empty((CHUNK_ROWS, terms[0].targets.shape[1]), np.float32) for _ in range(2)]
    of_targets = [half(term.targets) for term in terms] if halves is not None else []
    with ThreadPoolExecutor(1, "gradient-reader") as reader:
        ahead = reader.submit(parts[0][0].read, *parts[0][1], buffers[0])
        following = enumerate([*parts[1:], None], start=1)
        for at, end in track(bounds, "assembling the matrix", stop - start, "rows", lambda bound: bound[1] - bound[0]):
            total = np.zeros((end - at, len(terms[0].targets)), np.float32)
            first = np.zeros_like(total)
            valid, doubt = np.ones(end - at, bool), np.zeros(end - at)
            for place, term in enumerate(terms):
                values, usable, residual = ahead.result()
                number, part = next(following)
                if part is not None:
                    ahead = reader.submit(part[0].read, *part[1], buffers[number % 2])
                total += values @ term.targets.T
                if halves is not None:
                    first += half(values) @ of_targets[place].T
                valid &= usable
                doubt += 0.0 if residual is None else residual
            if any(term.residual for term in terms):
                total *= doubt[:, None].astype(np.float32)
            total[~valid] = np.nan
            _refuse_non_finite(total, valid, at)
            if halves is not None:
                halves.append(co_moments(first[valid], (total - first)[valid]))
            yield at, total, valid


def _refuse_non_finite(values: np.ndarray, valid: np.ndarray, start: int) -> None:
    bad = ~np.isfinite(values[valid])
    if bad.any():
        row, column = np.argwhere(bad)[0]
        row = start + np.flatnonzero(valid)[row]
        raise UserError(f"pool row {row}: influence on column {column} is not finite; collect its gradients again")


@Loop
def widen(half, bits, wide):
    """Writes float16 rows as float32, exactly; a row with an infinity or NaN becomes all NaN. numpy's own cast is several times slower.

    half: the rows' bits, uint16 [n, k]. wide: float32 [n, k], and bits: the same memory as int32 [n, k].
    Exponent and fraction move to their float32 places; the product by 2^112 sets the bias right, also for subnormal numbers.
    """
    for row in range(half.shape[0]):
        special = False
        for column in range(half.shape[1]):
            value = np.int32(half[row, column])
            special |= (value & 0x7C00) == 0x7C00
            bits[row, column] = ((value & 0x8000) << 16) | ((value & 0x7FFF) << 13)
        for column in range(half.shape[1]):
            wide[row, column] *= SCALE
        if special:
            for column in range(half.shape[1]):
                wide[row, column] = np.nan


def widened(half: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """float16 [n, k] as float32, in the first rows of `buffer` (float32 [m >= n, k])."""
    wide = buffer[: len(half)]
    widen(np.ascontiguousarray(half).view(np.uint16), wide.view(np.int32), wide)
    return wide
