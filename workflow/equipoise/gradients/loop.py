"""The collection loop: the rows of a store, chunk by chunk and batch by batch, skipping chunks that are already there.

A batch that does not fit into memory is halved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipoise.data.encoding import examples_digest
from equipoise.data.shards import plan_batches
from equipoise.errors import UserError
from equipoise.modelling.chat import Encoded
from equipoise.progress import log, track
from equipoise.store.gradient_writer import ChunkWriter, GradientStore
from equipoise.store.gradients import CHUNK_ROWS, NO_COMPLETION_TOKEN, NON_FINITE, VALID, GradientRows
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from equipoise.gradients.engine import BatchResult, Engine
    from equipoise.gradients.rows import RowMaker

OUT_OF_MEMORY = ("not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch says of memory without its own error: the host's allocator, and libraries that find none for their work space."""


@dataclass(frozen=True)
class Collection:
    """Which rows of which store are collected: from row `start` (a chunk's first) of `rows`. `title` is for the log."""

    store: str
    start: int
    rows: int
    attributes: dict[str, Any]
    states: tuple[str, ...]
    token_budget: int
    title: str = "gradients"


@dataclass(frozen=True)
class _Chunk:
    number: int
    fingerprint: str
    examples: Sequence[Encoded]
    batches: list[list[int]]


def collect(collection: Collection, examples: Sequence[Encoded], engine: "Engine", maker: "RowMaker | None") -> list[dict[str, Any]]:
    """Collects the rows of `examples`, without a maker states alone; returns the record of each of their chunks, in order."""
    widths = dict.fromkeys(collection.states, engine.hidden_size)
    store = GradientStore(collection.store, collection.rows, maker.dimension if maker else 0, collection.attributes, widths)
    records: dict[int, dict[str, Any]] = {}
    missing = []
    for chunk in _chunks(collection, examples):
        record = store.finished(chunk.number, chunk.fingerprint)
        if record is None:
            missing.append(chunk)
        else:
            records[chunk.number] = record
    if records:
        log(f"{collection.store}: {len(records)} chunks are already there, {len(missing)} to go")
    if missing:
        with ChunkWriter(store) as writer:
            for chunk, rows, halved in _computed(missing, collection, engine, maker):
                writer.put(chunk.number, chunk.fingerprint, rows, halved_batches=halved)
        records |= writer.records
    return [records[number] for number in sorted(records)]


def _chunks(collection: Collection, examples: Sequence[Encoded]) -> Iterator[_Chunk]:
    if collection.start % CHUNK_ROWS:
        raise UserError(f"{collection.store}: row {collection.start} does not begin a chunk of {CHUNK_ROWS} rows; run prepare_pool again")
    for first in range(0, len(examples), CHUNK_ROWS):
        part = examples[first : first + CHUNK_ROWS]
        batches = plan_batches([len(e.input_ids) if e.completion_tokens else 0 for e in part], collection.token_budget)
        determined = [collection.attributes["settings"], examples_digest(part), batches]
        yield _Chunk((collection.start + first) // CHUNK_ROWS, fingerprint(determined), part, batches)


def _computed(
    chunks: list[_Chunk], collection: Collection, engine: "Engine", maker: "RowMaker | None"
) -> Iterator[tuple[_Chunk, GradientRows, int]]:
    batches = [(chunk, batch) for chunk in chunks for batch in chunk.batches]
    total = sum(len(batch) for _, batch in batches)
    progress = track(batches, collection.title, total, size=lambda item: len(item[1]))
    for chunk in chunks:
        rows = _flagged_rows(chunk.examples, maker.dimension if maker else 0, dict.fromkeys(collection.states, engine.hidden_size))
        halved = 0
        for _ in chunk.batches:
            _, batch = next(progress)
            result, halvings = run_or_halve(engine, [chunk.examples[i] for i in batch], maker, collection.states)
            _fill(rows, batch, result)
            halved += halvings > 0
        yield chunk, rows, halved
    next(progress, None)


def run_or_halve(
    engine: "Engine", examples: Sequence[Encoded], maker: "RowMaker | None", states: Sequence[str]
) -> tuple["BatchResult", int]:
    """`engine.run`, in halves where memory does not suffice; returns the result and how many times a batch was cut.

    Raises `UserError` when not even one example fits.
    """
    result = _try(engine, examples, maker, states)
    if result is not None:
        return result, 0
    tokens = max(len(example.input_ids) for example in examples)
    if len(examples) == 1:
        raise UserError(f"one example of {tokens} tokens does not fit into memory; write gradients.activation_checkpointing: true")
    log(f"a batch of {len(examples)} examples of up to {tokens} tokens does not fit into memory; halving it (lower gradients.token_budget)")
    from equipoise.gradients.engine import joined

    half = (len(examples) + 1) // 2
    (first, cuts_1), (second, cuts_2) = (run_or_halve(engine, part, maker, states) for part in (examples[:half], examples[half:]))
    return joined([first, second]), 1 + cuts_1 + cuts_2


def _try(engine: "Engine", examples: Sequence[Encoded], maker: "RowMaker | None", states: Sequence[str]) -> "BatchResult | None":
    try:
        return engine.run(examples, maker, states)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(word in str(error) for word in OUT_OF_MEMORY):
            raise
    # outside the handler: the traceback would keep the activations
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _flagged_rows(examples: Sequence[Encoded], dimension: int, widths: dict[str, int]) -> GradientRows:
    """Rows of a chunk before anything is computed: all flagged as without completion token."""
    count = len(examples)
    return GradientRows(
        directions=np.full((count, dimension), np.nan, np.float16),
        norm=np.full(count, np.nan, np.float32),
        loss=np.full(count, np.nan, np.float32),
        tokens=np.array([example.completion_tokens for example in examples], np.int32),
        status=np.full(count, NO_COMPLETION_TOKEN, np.int8),
        states={kind: np.full((count, width), np.nan, np.float16) for kind, width in widths.items()},
    )


def _fill(rows: GradientRows, batch: list[int], result: "BatchResult") -> None:
    """Puts a batch into its rows; a row without finite, non-zero gradient (or states, where there are no gradients) is flagged, all NaN."""
    norm, unit = unit_rows(result.gradients)
    held = [unit] if unit.shape[1] else [*result.states.values()]
    finite = np.isfinite(result.loss) & np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in held])
    place = np.array(batch)
    rows.status[place] = np.where(finite, VALID, NON_FINITE)
    rows.directions[place] = np.where(finite[:, None], unit, np.nan)
    rows.norm[place] = np.where(finite, norm, np.nan)
    rows.loss[place] = np.where(finite, result.loss, np.nan)
    for kind, state in result.states.items():
        _, direction = unit_rows(state.astype(np.float64))
        rows.states[kind][place] = np.where(finite[:, None], direction, np.nan)


def unit_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Norms float64 [n] and rows divided by them, rounded once to float16 [n, k]; NaN where the norm is zero or not finite."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        norm = np.sqrt((rows * rows).sum(axis=1))
        norm = np.where(np.isfinite(norm) & (norm > 0), norm, np.nan)
        return norm, (rows / norm[:, None]).astype(np.float16)
