"""Gradient and matrix stores of known content."""

import numpy as np

from equipoise.attribution.matrix_store import MatrixStore
from equipoise.store.gradient_writer import ChunkWriter, GradientStore
from equipoise.store.gradients import GradientRows, chunk_bounds

ATTRIBUTES = {"settings": "s", "estimator": "less", "side": "pool", "epoch": 1, "scaled": False}
DIMENSION, HIDDEN = 6, 4


def some_rows(count, seed=0, states=True):
    generator = np.random.Generator(np.random.PCG64(seed))
    directions = generator.standard_normal((count, DIMENSION))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float16)
    status = np.zeros(count, np.int8)
    directions[1], status[1] = np.nan, 1
    norm = np.where(status == 0, generator.random(count), np.nan).astype(np.float32)
    kept = {kind: directions[:, :HIDDEN].copy() for kind in ("last_token", "position_weighted")} if states else {}
    return GradientRows(directions, norm, norm, np.arange(count, dtype=np.int32), status, kept)


def write_store(path, rows=2050, attributes=ATTRIBUTES, chunks=None):
    store = GradientStore(path, rows, DIMENSION, attributes, {"last_token": HIDDEN, "position_weighted": HIDDEN})
    written = {}
    with ChunkWriter(store) as writer:
        for chunk in range(3) if chunks is None else chunks:
            start, stop = chunk_bounds(chunk, rows)
            written[chunk] = some_rows(stop - start, chunk)
            writer.put(chunk, f"f{chunk}", written[chunk])
    return written


def write_gradients(path):
    write_store(path)


def write_matrix(path, identity="i"):
    store = MatrixStore(path, 1500, 3, identity)
    for start, stop in ((0, 1024), (1024, 1500)):
        store.write(start, np.ones((stop - start, 3), np.float32), np.ones(stop - start, bool))
    store.sync(0, 1500)
