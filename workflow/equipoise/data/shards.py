"""The shard plan: which pool rows a gradient job owns. Shards are whole 1,024-row chunks, so that every chunk has one writer."""

from itertools import pairwise

from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS


def chunk_count(rows: int) -> int:
    """Number of chunks that hold `rows` rows."""
    return -(-rows // CHUNK_ROWS)


def plan_shards(rows: int, shards: int) -> list[list[int]]:
    """Row ranges [start, stop) of `shards` shards: the ceil(rows / 1024) chunks split as evenly as they go, larger shards first.

    Raises `UserError` when there are more shards than chunks.
    """
    chunks = chunk_count(rows)
    if shards > chunks:
        raise UserError(f"pool.shards: {shards} shards for {rows} rows, which fill {chunks} chunks of {CHUNK_ROWS}; write at most {chunks}")
    small, larger = divmod(chunks, shards)
    borders = [0]
    for shard in range(shards):
        borders.append(borders[-1] + small + (shard < larger))
    return [[first * CHUNK_ROWS, min(last * CHUNK_ROWS, rows)] for first, last in pairwise(borders)]
