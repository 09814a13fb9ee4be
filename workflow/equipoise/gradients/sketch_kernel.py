"""The CPU kernel of the sketch, with the Adam map fused in: one pass over the gradients, rows shared out among threads.

Compiled by numba without fast-math, so every operation rounds as it does in `Sketch.add_portable` and `Constants.apply`.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from equipoise.gradients.adam import Constants

GROUP = 8
ELEMENTS_PER_THREAD = 1 << 20  # a thread is worth its wake-up from about a tenth of a millisecond of work
_NOTHING = np.zeros(0, np.float32)
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _signed(out, gradient, sign):
    for i in range(len(out)):
        out[i] = gradient[i] * np.float32(sign[i])


@_jit
def _mapped(out, gradient, sign, first, second, a, b, eps):
    for i in range(len(out)):
        g = gradient[i]
        square = (g * g) * b
        out[i] = ((first[i] + g * a) / (np.float32(math.sqrt(second[i] + square)) + eps)) * np.float32(sign[i])


@_jit
def _add_1(row, x):
    for i in range(len(row)):
        row[i] += np.float64(x[0, i])


@_jit
def _add_2(row, x):
    for i in range(len(row)):
        row[i] += np.float64(x[0, i]) + np.float64(x[1, i])


@_jit
def _add_4(row, x):
    for i in range(len(row)):
        row[i] += (np.float64(x[0, i]) + np.float64(x[1, i])) + (np.float64(x[2, i]) + np.float64(x[3, i]))


@_jit
def _add_8(row, x):
    for i in range(len(row)):
        low = (np.float64(x[0, i]) + np.float64(x[1, i])) + (np.float64(x[2, i]) + np.float64(x[3, i]))
        high = (np.float64(x[4, i]) + np.float64(x[5, i])) + (np.float64(x[6, i]) + np.float64(x[7, i]))
        row[i] += low + high


@_jit
def _sketch_rows(rows, gradient, sign, shift, first, second, a, b, eps, low, high):
    """Adds the sketch of rows low ... high - 1: each block of a group of eight is written shifted into a buffer, whose sum is added."""
    k, numel, blocks = rows.shape[1], gradient.shape[1], len(shift)
    buffer = np.zeros((GROUP, k), np.float32)
    for row in range(low, high):
        for group in range(0, blocks, GROUP):
            count = min(GROUP, blocks - group)
            size = 1
            while size < count:
                size *= 2
            for j in range(size):
                start = (group + j) * k
                width = min(k, numel - start) if j < count else 0
                if width < k:
                    buffer[j, :] = 0.0
                if width == 0:
                    continue
                move = shift[group + j]
                cut = min(width, k - move)
                # offsets [0, cut) land at [move, move + cut), the rest wraps round to [0, width - cut)
                for part in range(2):
                    begin, end = (0, cut) if part == 0 else (cut, width)
                    if begin == end:
                        continue
                    place = begin + move if part == 0 else begin + move - k
                    out = buffer[j, place : place + end - begin]
                    g = gradient[row, start + begin : start + end]
                    s = sign[start + begin : start + end]
                    if len(first) == 0:
                        _signed(out, g, s)
                    else:
                        _mapped(out, g, s, first[start + begin : start + end], second[start + begin : start + end], a, b, eps)
            if size == 1:
                _add_1(rows[row], buffer)
            elif size == 2:
                _add_2(rows[row], buffer)
            elif size == 4:
                _add_4(rows[row], buffer)
            else:
                _add_8(rows[row], buffer)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="sketch")


def sketch_add(rows: np.ndarray, gradient: np.ndarray, sign: np.ndarray, shift: np.ndarray, adam: "Constants | None") -> None:
    """Adds the sketch of `gradient`, float32 [n, numel], after the Adam map if any, to `rows`, float64 [n, k], in place.

    sign int8 [blocks * k], shift int64 [blocks]. As many threads as torch uses; which thread takes a row changes no bit of it.
    """
    import torch

    if adam is None:
        constants = (_NOTHING, _NOTHING, np.float32(0), np.float32(0), np.float32(0))
    else:
        constants = (adam.first.numpy(), adam.second.numpy(), np.float32(adam.a), np.float32(adam.b), np.float32(adam.eps))
    threads = min(torch.get_num_threads(), max(1, gradient.size // ELEMENTS_PER_THREAD), len(rows))
    if threads == 1:
        _sketch_rows(rows, gradient, sign, shift, *constants, 0, len(rows))
        return
    bounds = [len(rows) * t // threads for t in range(threads + 1)]
    parts = [_pool(threads).submit(_sketch_rows, rows, gradient, sign, shift, *constants, low, high) for low, high in pairwise(bounds[1:])]
    _sketch_rows(rows, gradient, sign, shift, *constants, 0, bounds[1])
    for part in parts:
        part.result()
