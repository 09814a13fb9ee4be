"""Speed of assembling the matrix: python tests/benchmarks/bench_assembly.py [--rows 16384] [--dimension 8192] [--folder /tmp].

Writes a gradient store of two epochs, assembles its matrix of 350 columns, and compares with the slower of (reading the same rows raw, the
bare float32 product of rows in memory), all in one process. Prints wall and CPU seconds; the goal is at least 60 %.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from timing import timed

from equipoise.attribution.products import Term, assemble_chunks
from equipoise.store.gradient_writer import GradientStore
from equipoise.store.gradients import CHUNK_ROWS, GradientReader, GradientRows, chunk_bounds

COLUMNS = 350
EPOCHS = 2


def write_store(path: Path, rows: int, dimension: int, seed: int) -> None:
    attributes = {"settings": "bench", "estimator": "less", "side": "pool", "epoch": 1, "scaled": False}
    store = GradientStore(path, rows, dimension, attributes, {})
    generator = np.random.default_rng(seed)
    for chunk in range(-(-rows // CHUNK_ROWS)):
        start, stop = chunk_bounds(chunk, rows)
        count = stop - start
        directions = generator.standard_normal((count, dimension), dtype=np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        ones, flags = np.ones(count, np.float32), np.zeros(count, np.int8)
        store.write(chunk, "bench", GradientRows(directions.astype(np.float16), ones, ones, ones.astype(np.int32), flags))


def read_raw(terms: list[Term], rows: int) -> None:
    for term in terms:
        for start in range(0, rows, CHUNK_ROWS):
            term.reader.read(start, min(start + CHUNK_ROWS, rows))


def multiply(terms: list[Term], rows: int, chunk: np.ndarray) -> None:
    for term in terms:
        for _ in range(0, rows, CHUNK_ROWS):
            chunk @ term.targets.T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--dimension", type=int, default=8192)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        terms = []
        for epoch in range(EPOCHS):
            write_store(folder / f"epoch-{epoch}", options.rows, options.dimension, epoch)
            targets = np.random.default_rng([9, epoch]).standard_normal((COLUMNS, options.dimension)).astype(np.float32)
            terms.append(Term(GradientReader(folder / f"epoch-{epoch}"), targets, False, None))
        chunk = np.ones((CHUNK_ROWS, options.dimension), np.float32)
        read = timed(lambda: read_raw(terms, options.rows))
        product = timed(lambda: multiply(terms, options.rows, chunk))
        whole = timed(lambda: list(assemble_chunks(terms, 0, options.rows)))
    finally:
        shutil.rmtree(folder)
    print(f"{options.rows} rows x {EPOCHS} epochs, k={options.dimension}, V={COLUMNS}")
    for name, (wall, cpu) in (("raw read", read), ("bare product", product), ("assembly", whole)):
        print(f"  {name}: {wall:.2f} s (CPU {cpu:.2f}), {options.rows * EPOCHS / wall:,.0f} rows/s")
    slower = max(read[0], product[0])
    print(f"  assembly reaches {slower / whole[0]:.0%} of the slower of the two in wall time (goal: at least 60 %)")
    print(f"  (read + product) / assembly in CPU time: {(read[1] + product[1]) / whole[1]:.0%}")


if __name__ == "__main__":
    main()
