"""Runs a kernel on several parts of a block at once; kernels release the interpreter lock, so threads do."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
WORTH_A_THREAD = 2**20  # bytes; handing over less costs more than it saves


def threads() -> int:
    """Threads of the kernels: what the process may use, or NUMBA_NUM_THREADS where a stage has fixed it. No result depends on it."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, int(os.environ.get("NUMBA_NUM_THREADS", available))))


def in_parallel(work: Callable[[Part], Result], parts: Iterable[Part], nbytes: int) -> list[Result]:
    """[work(part) for part in parts], in threads when the `nbytes` of data to work on are worth it."""
    if nbytes < WORTH_A_THREAD or threads() == 1:
        return [work(part) for part in parts]
    return list(_pool(threads()).map(work, parts))


def split(count: int) -> list[tuple[int, int]]:
    """Ranges [first, last) that split `count` things evenly among the threads."""
    parts = min(threads(), count)
    borders = [round(part * count / parts) for part in range(parts + 1)]
    return list(pairwise(borders))


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, "selection")
