"""How long commands take to start: python tests/benchmarks/bench_start.py.

Processor time and wall time, the smallest of some runs; on a quiet machine both are about the same. The matrix is 1,000 x 50.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPEATS = 5
GOALS = {"help": 0.5, "select": 1.0}  # seconds


def measured(*words: str) -> tuple[float, float]:
    """Smallest processor and wall seconds of `equipoise WORDS`."""
    processor, wall = [], []
    for _ in range(REPEATS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "equipoise", *words], capture_output=True, check=True)
        wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(processor), min(wall)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "matrix.npy", np.random.default_rng(0).standard_normal((1000, 50)).astype(np.float32))
        (folder / "tasks.json").write_text(json.dumps([f"task{column // 10}" for column in range(50)]))
        select = ["select", str(folder / "matrix.npy"), "--tasks", str(folder / "tasks.json"), "--output", str(folder / "picks.jsonl")]
        for what, words in {"help": ["--help"], "select": select}.items():
            processor, wall = measured(*words)
            print(
                f"equipoise {what}: {processor:.2f} s of processor, {wall:.2f} s wall, goal {GOALS[what]} s; load {os.getloadavg()[0]:.1f}"
            )


if __name__ == "__main__":
    main()
