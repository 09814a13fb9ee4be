"""Speed of selection: python tests/benchmarks/bench_selection.py [--rows 288579] [--stream-rows 5000000] [--folder /tmp].

Prints wall and CPU seconds and ratios to baselines measured in the same run. The first call of a fresh installation also compiles the
kernels (numba, cached beside the modules); it is timed apart. The streamed part writes --stream-rows x 350 x 4 bytes into --folder
(7 GB by default), selects 1 % in a process of its own, reports its peak memory, and deletes the matrix; 0 leaves it out.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from timing import timed

from equipoise.selection import select
from equipoise.selection.top_lists import MomentScan

COLUMNS = 350
TASKS = [f"task{column // 50}" for column in range(COLUMNS)]
NAIVE_STEPS = 20

# VmHWM belongs to the program itself; ru_maxrss of a child begins at what its parent held
PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
"""

STREAMED = (
    PEAK
    + """
import sys, time
import numpy as np, zarr
array = zarr.open_array(sys.argv[1], mode="r")
rows = int(sys.argv[2])
if sys.argv[3] == "read":
    start = time.perf_counter()
    cpu = time.process_time()
    step = array.chunks[0] * max(1, round(32 * 2**20 / (array.chunks[0] * array.shape[1] * 4)))
    for at in range(0, array.shape[0], step):
        array[at : at + step]
else:
    from equipoise.selection import select
    select(np.random.default_rng(0).standard_normal((3000, 350)).astype("f4"), ["a"] * 350, budget=20)
    start = time.perf_counter()
    cpu = time.process_time()
    select(array, [f"task{j // 50}" for j in range(array.shape[1])], budget=rows)
print(time.perf_counter() - start, time.process_time() - cpu, peak() / 2**30)
"""
)


def make_matrix(rows: int, correlated: bool, seed: int = 0) -> np.ndarray:
    """float32 [rows, 350]: noise, and where `correlated` eight shared factors, as influence has."""
    matrix = np.empty((rows, COLUMNS), np.float32)
    for start in range(0, rows, 16384):
        matrix[start : start + 16384] = make_block(min(16384, rows - start), correlated, [seed, start])
    return matrix


def make_block(rows: int, correlated: bool, seed: list[int]) -> np.ndarray:
    generator = np.random.default_rng(seed)
    block = generator.standard_normal((rows, COLUMNS), dtype=np.float32)
    if correlated:
        loadings = np.random.default_rng(1).standard_normal((8, COLUMNS)).astype(np.float32)
        block += generator.standard_normal((rows, 8), dtype=np.float32) @ loadings
    return block


def naive_steps(matrix: np.ndarray, steps: int) -> None:
    """The first steps of the greedy as it is written: the whole matrix a step."""
    scan = MomentScan(matrix.shape[1])
    scan.add(matrix, np.ones(len(matrix), np.uint8))
    moments = scan.moments()
    normalised = ((matrix - moments.mean) / moments.std).astype(np.float64)
    sums = np.zeros(COLUMNS)
    level = np.zeros(COLUMNS)
    gain = np.empty_like(normalised)
    for count in range(1, steps + 1):
        np.subtract(normalised, level, out=gain)
        row = gain.max(axis=1).argmax()
        sums += normalised[row]
        level = sums / count
        normalised[row] = -np.inf


def bench_in_memory(rows: int, picks: int) -> None:
    for name, correlated in (("independent columns", False), ("eight shared factors", True)):
        matrix = make_matrix(rows, correlated)
        base = timed(lambda m=matrix: m.max(axis=0), 5)
        whole = timed(lambda m=matrix: select(m, TASKS, budget=picks), 5)
        print(f"{rows} x {COLUMNS}, B={picks}, {name}")
        print(f"  select {whole[0]:.3f} s (CPU {whole[1]:.3f}), A.max(axis=0) {base[0]:.3f} s (CPU {base[1]:.3f}); goal: at most 1.5 s")
        compare("select / max", whole, base, 20)
        compare("growth from B / 10", whole, timed(lambda m=matrix: select(m, TASKS, budget=picks // 10), 5), 3)
        tenth = timed(lambda m=matrix: select(m[: rows // 10], TASKS, budget=picks // 10), 5)
        compare("growth from N / 10, same share", whole, tenth, 11)
    naive = timed(lambda: naive_steps(matrix, NAIVE_STEPS), 1)
    naive = tuple(seconds / NAIVE_STEPS * picks for seconds in naive)
    print(f"  naive loop, extrapolated from {NAIVE_STEPS} steps: {naive[0]:.0f} s (CPU {naive[1]:.0f}); goal: at least 1000 times select")
    print(f"  naive / select: wall {naive[0] / whole[0]:.0f}, CPU {naive[1] / whole[1]:.0f}")


def compare(what: str, measured: tuple[float, float], base: tuple[float, float], goal: float) -> None:
    wall, cpu = (a / b for a, b in zip(measured, base, strict=True))
    print(f"  {what}: wall {wall:.1f}, CPU {cpu:.1f} (goal: at most {goal})")


def bench_memory(rows: int, picks: int) -> None:
    script = PEAK + (
        "import numpy as np\n"
        "from equipoise.selection import select\n"
        f"A = np.random.default_rng(0).standard_normal(({rows}, {COLUMNS}), dtype='f4')\n"
        "select(A[:3000].copy(), ['a'] * 350, budget=20)\n"
        "before = peak()\n"
        f"select(A, ['a'] * {COLUMNS}, budget={picks})\n"
        "print((peak() - before) / A.nbytes)\n"
    )
    share = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    print(f"  extra peak memory: {float(share):.3f} of the matrix (goal: at most 0.25)")


def bench_streamed(rows: int, folder: str) -> None:
    import zarr

    path = Path(tempfile.mkdtemp(dir=folder)) / "matrix.zarr"
    try:
        array = zarr.create_array(str(path), shape=(rows, COLUMNS), chunks=(8192, COLUMNS), dtype="float32", compressors=None)
        for start in range(0, rows, 8192):
            array[start : start + 8192] = make_block(min(8192, rows - start), True, [2, start])
        results = {}
        for what in ("read", "select", "read", "select"):
            done = subprocess.run(
                [sys.executable, "-c", STREAMED, str(path), str(rows // 100), what], capture_output=True, text=True, check=True
            )
            wall, cpu, memory = map(float, done.stdout.split())
            print(f"  {what}: {wall:.2f} s (CPU {cpu:.2f}), peak {memory:.2f} GiB")
            results[what] = min(results.get(what, (wall, cpu)), (wall, cpu))
        print(f"{rows} x {COLUMNS} on disk, 1 %; goal: within 1.5 GiB")
        compare("select / one read", results["select"], results["read"], 2.5)
    finally:
        shutil.rmtree(path.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=288_579)
    parser.add_argument("--stream-rows", type=int, default=5_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    first = timed(lambda: select(make_matrix(2000, False), TASKS, budget=20), 1)
    print(f"first call, kernels compiled or loaded: {first[0]:.2f} s (CPU {first[1]:.2f})")
    bench_in_memory(options.rows, options.rows * 15 // 100)
    bench_memory(options.rows, options.rows * 15 // 100)
    if options.stream_rows:
        bench_streamed(options.stream_rows, options.folder)


if __name__ == "__main__":
    main()
