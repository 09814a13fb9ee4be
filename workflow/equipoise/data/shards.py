"""The shard and batch plans: which pool rows a gradient job owns, and which of them share a batch.

Shards are whole 1,024-row chunks, so that every chunk has one writer; batches depend on the data alone.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from equipoise.collecting import is_predicted, row_shards, sample_size
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS

if TYPE_CHECKING:
    from equipoise.config import Experiment


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


def collected_plan(config: "Experiment", pool: Mapping[str, Any]) -> tuple[int, list[list[int]]]:
    """Rows whose gradients are collected, and their ranges by shard: the pool's (its manifest), or the sampled rows' among themselves."""
    if not is_predicted(config):
        return pool["rows"], pool["shards"]
    rows = sample_size(config, pool["rows"])
    return rows, plan_shards(rows, row_shards(config))


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Cuts one store chunk's examples into batches of at most `token_budget` padded tokens, the longest first.

    lengths: tokens of each example, 0 for one that takes no part. Returns indices into `lengths`; an example longer than the
    budget is a batch of its own. Depends on nothing but the arguments, so a row's batch does not depend on how jobs are cut.
    """
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: (-lengths[i], i))
    batches, start = [], 0
    while start < len(order):
        count = max(1, token_budget // lengths[order[start]])
        batches.append(order[start : start + count])
        start += count
    return batches
