"""Prepares the pool: reads JSONL, Parquet or a hub data set into one Parquet file with ids, texts and token counts.

`pool.parquet` has one row per example, in source order: row int64, id, source, prompt, response (text), tokens and
completion_tokens int32 (after cutting to `model.max_length`; 0 completion tokens = no gradient), metadata (JSON of the other fields).
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.data.records import Record, read_records, to_record
from equipoise.data.shards import plan_shards
from equipoise.errors import UserError
from equipoise.files import atomic_path, file_digest
from equipoise.hub import hub_reason
from equipoise.layout import Layout
from equipoise.progress import log, track
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest

TOKENISED_AT_ONCE = 1000


def prepare_pool(config: Experiment) -> None:
    """Writes the pool's Parquet file and, last, its manifest with the shard plan.

    With `pool.decontaminate: remove`, rows that `decontaminate` found are left out. Raises `UserError` for unreadable or empty sources, bad
    records, repeated ids, and more shards than 1,024-row chunks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from equipoise.modelling.base import load_tokenizer

    layout = config.layout
    read = list(pool_records(config))
    if not read:
        raise UserError(f"pool: no rows in {config.pool.dataset or ', '.join(config.pool.files)}; write a file with at least one record")
    records = _uncontaminated(config, layout, read) if config.pool.decontaminate == "remove" else read
    shards = plan_shards(len(records), config.pool.shards)
    _refuse_repeated_ids(records)
    tokenizer = load_tokenizer(config.model)
    tokens, completion = _token_counts(tokenizer, records, config.model.max_length)
    table = pa.table(
        {
            "row": pa.array(range(len(records)), pa.int64()),
            "id": [r.id for r in records],
            "source": [r.source for r in records],
            "prompt": [r.prompt for r in records],
            "response": [r.response for r in records],
            "tokens": pa.array(tokens, pa.int32()),
            "completion_tokens": pa.array(completion, pa.int32()),
            "metadata": [json.dumps(r.metadata, sort_keys=True, ensure_ascii=False, default=str) for r in records],
        }
    )
    with atomic_path(layout.pool) as part:
        pq.write_table(table, part)
    flagged = [i for i, n in enumerate(completion) if n == 0]
    if flagged:
        first = records[flagged[0]].id
        log(f"{len(flagged)} rows have no completion token within {config.model.max_length} tokens and cannot be selected, as {first}")
    digest = file_digest(layout.pool)
    write_manifest(
        layout.pool_manifest,
        "pool",
        rows=len(records),
        digest=digest,
        fingerprint=fingerprint({"pool": digest, "max_length": config.model.max_length}),
        shards=shards,
        sources=dict(sorted(Counter(r.source for r in records).items())),
        tokens=sum(tokens),
        completion_tokens=sum(completion),
        without_completion=len(flagged),
        removed=len(read) - len(records),
    )
    log(f"pool: {len(records):,} rows, {sum(tokens):,} tokens, {len(shards)} shards -> {layout.pool}")


def pool_records(config: Experiment) -> Iterator[Record]:
    """Records of the pool's source in their order, up to `pool.limit`. Raises `UserError` naming what cannot be read, and where."""
    records = _hub_records(config) if config.pool.dataset else chain.from_iterable(map(read_records, config.pool.files))
    for number, record in enumerate(records):
        if number == config.pool.limit:
            return
        yield record


def _hub_records(config: Experiment) -> Iterator[Record]:
    from datasets import load_dataset

    from equipoise.harness.revisions import commits, refuse_other_commits

    pool = config.pool
    try:
        rows = load_dataset(pool.dataset, revision=pool.revision, split=pool.split)
    except Exception as error:
        source = f"{pool.dataset!r} ({pool.split}, revision {pool.revision})"
        raise UserError(f"pool.dataset: cannot load {source}: {hub_reason(error)}") from None
    refuse_other_commits(config, "pool.revision", commits({pool.split: rows}), "pool", "commits")
    for number, row in enumerate(rows):
        yield to_record(row, f"{pool.dataset} row {number}", f"{pool.dataset}/{number}", default_source=pool.dataset)


def records_digest(records: list[Record]) -> str:
    """SHA-256 of the texts of records in their order."""
    return fingerprint([[record.prompt, record.response] for record in records])


def _uncontaminated(config: Experiment, layout: Layout, records: list[Record]) -> list[Record]:
    """The records without those that share words with a test item. Raises `UserError` when other records were searched, or none is left."""
    contamination = read_manifest(layout.contamination, "contamination")
    if contamination["source"] != records_digest(records):
        raise UserError(f"{layout.contamination}: was made for another pool; run decontaminate again")
    removed = set().union(*(task["rows"] for task in contamination["tasks"].values()))
    kept = [record for number, record in enumerate(records) if number not in removed]
    if not kept:
        raise UserError("pool.decontaminate: every row shares words with a test item; write report, or give another pool")
    log(f"pool: {len(removed):,} of {len(records):,} rows share words with a test item and are left out")
    return kept


def _refuse_repeated_ids(records: list[Record]) -> None:
    counts = Counter(record.id for record in records)
    repeated = [(name, n) for name, n in counts.items() if n > 1]
    if repeated:
        name, n = repeated[0]
        raise UserError(f"pool: id {name!r} occurs {n} times ({len(repeated)} ids repeat); give every record its own id, or none of them")


def _token_counts(tokenizer: Any, records: list[Record], max_length: int) -> tuple[list[int], list[int]]:
    from equipoise.modelling.chat import encode_many

    tokens: list[int] = []
    completion: list[int] = []
    batches = [records[i : i + TOKENISED_AT_ONCE] for i in range(0, len(records), TOKENISED_AT_ONCE)]
    for batch in track(batches, "tokenising the pool", len(records), size=len):
        for encoded in encode_many(tokenizer, [r.prompt for r in batch], [r.response for r in batch], max_length):
            tokens.append(len(encoded.input_ids))
            completion.append(encoded.completion_tokens)
    return tokens, completion


def read_pool(path: str | Path, columns: list[str] | None = None) -> dict[str, list]:
    """Columns of a prepared pool as Python lists, by name."""
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=columns).to_pydict()
