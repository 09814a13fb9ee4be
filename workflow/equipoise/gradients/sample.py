"""Examples of the pool that a curvature is estimated from: drawn by seed, in row order."""

import numpy as np

from equipoise.config import Experiment
from equipoise.data.encoding import encode_rows, text_columns
from equipoise.modelling.chat import Encoded
from equipoise.store.artefact import open_artefact


def pool_sample(config: Experiment, count: int) -> list[Encoded]:
    """`count` examples of the pool, or all there are, drawn by seed from those with a completion token, in row order."""
    import pyarrow.parquet as pq

    from equipoise.modelling.base import load_tokenizer

    file = pq.ParquetFile(open_artefact(config, "pool").only_file())
    table = file.read([*text_columns(file), "completion_tokens"])
    usable = np.flatnonzero(table["completion_tokens"].to_numpy() > 0)
    count = min(count, len(usable))
    drawn = np.sort(np.random.Generator(np.random.PCG64(config.seed)).choice(usable, count, replace=False))
    rows, tokenizer = table.take(drawn).to_pylist(), load_tokenizer(config.model)
    return encode_rows(rows, tokenizer, config.model.max_length, last_turn=config.training.last_turn)
