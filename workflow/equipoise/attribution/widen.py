"""float16 to float32 at memory speed: numpy's own cast takes half as long as the matrix product it feeds."""

import numpy as np
from numba import njit

SCALE = np.float32(2.0**112)  # the difference of the two formats' exponent biases, 127 - 15


@njit(nogil=True, cache=True)
def widen(half, bits, wide):
    """Writes float16 rows as float32, exactly; a row with an infinity or NaN becomes all NaN.

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
