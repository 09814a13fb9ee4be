"""Times a call for the benchmarks."""

import time
from collections.abc import Callable


def timed(call: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Smallest wall and smallest CPU seconds of some calls."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)
