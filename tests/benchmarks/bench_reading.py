"""What checking costs those who read: python tests/benchmarks/bench_reading.py [--rows 288579] [--folder /tmp].

Reads the same chunks with and without comparing their checksums, and ranks the paper's matrix (288,579 x 350) with both, all in one
process and from the page cache, where checking weighs most; the goal is at most 5 % of the stage, and a ranking within a second. Files that
are read whole cost a SHA-256, once a process; the goal is 1 s + 1.2 s a GB.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from timing import timed

from equipoise.attribution.matrix_store import MatrixStore
from equipoise.files import file_digest
from equipoise.layout import CHUNK_ROWS
from equipoise.selection import select
from equipoise.store.stored_array import StoredArray, listed

COLUMNS = 350
PICKED = 0.1
GIGABYTE = 10**9
REPEATS = 5


class Unchecked(StoredArray):
    """The same array, read into the same memory and believed."""

    def _fill(self, chunk: int, whole: np.ndarray) -> None:
        with open(self.chunk_file(chunk), "rb", buffering=0) as file:
            file.readinto(memoryview(whole).cast("B"))


def write_matrix(path: Path, rows: int) -> dict[int, str]:
    """A matrix of shared factors and noise; returns the checksums of its chunks."""
    store = MatrixStore(path, rows, COLUMNS, "bench")
    loadings = np.random.default_rng(1).standard_normal((8, COLUMNS)).astype(np.float32)
    for start in range(0, rows, CHUNK_ROWS):
        generator, count = np.random.default_rng([0, start]), min(CHUNK_ROWS, rows - start)
        noise = generator.standard_normal((count, COLUMNS), dtype=np.float32)
        store.write(start, noise + generator.standard_normal((count, 8), dtype=np.float32) @ loadings, np.ones(count, bool))
    return dict(enumerate(listed(path, "float32", COLUMNS, range(-(-rows // CHUNK_ROWS)))["crc32c"]))


def read_all(array: StoredArray) -> None:
    for start in range(0, array.shape[0], CHUNK_ROWS):
        array.read(start, min(start + CHUNK_ROWS, array.shape[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=288_579)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        path = folder / "matrix.zarr"
        sums = write_matrix(path, options.rows)
        arrays = {
            "unchecked": Unchecked(path, options.rows, "float32", COLUMNS, sums, path),
            "checked": StoredArray(path, options.rows, "float32", COLUMNS, sums, path),
        }
        names = [f"task{column // 50}" for column in range(COLUMNS)]
        budget = round(PICKED * options.rows)
        select(arrays["checked"], names, budget=budget)  # compiles the kernels
        read = {name: timed(lambda array=array: read_all(array), REPEATS) for name, array in arrays.items()}
        ranked = {name: timed(lambda array=array: select(array, names, budget=budget), REPEATS) for name, array in arrays.items()}
        whole = folder / "whole.bin"
        with open(whole, "wb") as file:
            for _ in range(4):
                file.write(os.urandom(GIGABYTE // 16) * 4)
        digest = timed(lambda: file_digest(whole))
    finally:
        shutil.rmtree(folder)
    print(f"matrix of {options.rows:,} x {COLUMNS}, {options.rows * COLUMNS * 4 / GIGABYTE:.2f} GB, {PICKED:.0%} picked")
    for what, times in (("reading alone", read), ("ranking", ranked)):
        said = ", ".join(f"{name} {wall:.3f} s (CPU {cpu:.3f})" for name, (wall, cpu) in times.items())
        print(f"  {what}: {said}; checked / unchecked {times['checked'][0] / times['unchecked'][0]:.2f}")
    share = (read["checked"][1] - read["unchecked"][1]) / ranked["checked"][0]
    print(f"  checking takes {share:.1%} of a ranking (goal: at most 5 %), which takes {ranked['checked'][0]:.2f} s (goal: under 1 s)")
    print(f"  files: {digest[0]:.2f} s a GB (CPU {digest[1]:.2f}; goal: at most 1.2 s a GB, and 1 s)")


if __name__ == "__main__":
    main()
