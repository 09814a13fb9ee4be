"""Examples of the pool that a curvature is estimated from: drawn by seed, in row order."""

import numpy as np

from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.modelling.examples import Examples
from equipoise.store.artefact import open_artefact


def pool_sample(config: Experiment, count: int) -> Examples:
    """`count` examples of the pool, or all there are, drawn by seed from those with a completion token, in row order."""
    import pyarrow.parquet as pq

    from equipoise.modelling.base import load_tokenizer

    pool = open_artefact(config, "pool")
    usable = np.flatnonzero(pq.read_table(pool.only_file(), columns=["completion_tokens"])["completion_tokens"].to_numpy() > 0)
    count = min(count, len(usable))
    drawn = np.sort(np.random.Generator(np.random.PCG64(config.seed)).choice(usable, count, replace=False))
    tokenizer, last_turn = load_tokenizer(config.model), config.training.last_turn
    return encode_file(pool.only_file(), tokenizer, config.model.max_length, last_turn=last_turn, chosen=drawn)
