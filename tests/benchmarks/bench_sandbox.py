"""What the start of a confined program costs, against a bare start of Python: python tests/benchmarks/bench_sandbox.py.

A run is a program with its tests: two confined processes, from nothing to the verdict. The bare start is the same interpreter with `pass`,
measured in turn with it, so that a busy machine slows both.
"""

import os
import statistics
import subprocess
import time

from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation.containers import CONTAINERS, interpreter
from equipoise.evaluation.sandbox import TRIAL, confining, run_program

REPEATS = 30
GOAL = 50  # milliseconds of a program's start


def milliseconds(call) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    bare = [interpreter(), "-I", "-S", "-B", "-c", "pass"]
    for mode in CONTAINERS:
        settings = Sandbox(mode=mode)
        try:
            confining(mode)
        except UserError as error:
            print(f"sandbox {mode}: not measured, {error}")
            continue
        walls, starts = [], []
        for _ in range(REPEATS):
            starts.append(milliseconds(lambda: subprocess.run(bare, env={}, check=True)))
            walls.append(milliseconds(lambda settings=settings: run_program(*TRIAL, settings)))
        print(
            f"sandbox {mode} ({CONTAINERS[mode].version()}): a program {min(walls):.0f} ms (median {statistics.median(walls):.0f}), a bare "
            f"start of Python {min(starts):.0f} ms (median {statistics.median(starts):.0f}), goal {GOAL} ms; load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
