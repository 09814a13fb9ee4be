"""Selection from matrices that no disk here could hold: python tests/benchmarks/bench_virtual.py [--rows 100000 400000] [--columns 350]
[--share 0.01] [--selectors bids round_robin sum task_max].

Rows are made when they are read (helpers/virtual_matrix.py). Every selector runs in a process of its own on matrices of so many rows and
selects --share of them; printed are how many times it read the matrix, wall and processor seconds, peak memory (libraries included), and
how many times as long it takes as making all rows once. 10^8 rows x 350 columns are 140 GB.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
GIB = 2**30

CHILD = """
import resource, sys, time
import numpy as np
from equipoise.selection import select
from equipoise.selection.source import Source
from helpers.virtual_matrix import VirtualMatrix

rows, columns, picks, selector = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
tasks = [f"task{column * 7 // columns}" for column in range(columns)]
matrix = VirtualMatrix(rows, columns)
if selector != "making":
    select(VirtualMatrix(3000, columns), tasks, selector, 20)  # loads the kernels
start, cpu = time.perf_counter(), time.process_time()
if selector == "making":
    for block in Source(matrix).blocks():
        pass
else:
    select(matrix, tasks, selector, picks)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(matrix.read_rows / rows, time.perf_counter() - start, time.process_time() - cpu, peak)
"""


def run(rows: int, columns: int, picks: int, selector: str) -> tuple[float, float, float, float]:
    """Readings of the matrix, wall and processor seconds, peak bytes."""
    words = [sys.executable, "-c", CHILD, *map(str, (rows, columns, picks, selector))]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{selector} on {rows:,} rows: status {done.returncode}")
    passes, wall, cpu, peak = map(float, done.stdout.split())
    return passes, wall, cpu, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--columns", type=int, default=350)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--selectors", nargs="+", default=["bids", "round_robin", "sum", "task_max"])
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    for rows in options.rows:
        picks = round(options.share * rows)
        size = rows * options.columns * 4
        print(f"{rows:,} x {options.columns}, {size / 1e9:,.1f} GB, {picks:,} picks; load average {os.getloadavg()[0]:.1f}", flush=True)
        made = run(rows, options.columns, picks, "making")
        print(f"  making all rows once: {made[1]:.2f} s (CPU {made[2]:.2f}), {size / 1e9 / made[1]:.2f} GB/s", flush=True)
        for name in options.selectors:
            passes, wall, cpu, peak = run(rows, options.columns, picks, name)
            times = f"{wall:.2f} s (CPU {cpu:.2f}), {wall / made[1]:.1f} times the making (CPU {cpu / made[2]:.1f})"
            print(f"  {name}: {passes:.1f} readings, {times}, peak {peak / GIB:.2f} GiB", flush=True)
    print(time.strftime("%Y-%m-%d %H:%M"))


if __name__ == "__main__":
    main()
