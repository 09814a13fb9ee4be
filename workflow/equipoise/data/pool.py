"""Prepares the pool: reads files or a hub data set into one Parquet file with ids, conversations and token counts.

`pool.parquet` has one row per example, in source order: row int64; id, source, messages, tools and metadata as conversation/record.py
says; prompt and response, the texts before the last assistant turn and of that turn; tokens and completion_tokens int32 (after cutting to
`model.max_length`; 0 completion tokens = no gradient).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment, Pool
from equipoise.conversation.reading import NAMED, Options, Summary, read_files, read_records
from equipoise.conversation.record import Record, to_columns
from equipoise.conversation.sources import dataset_rows, load_hub
from equipoise.data.shards import plan_shards
from equipoise.errors import UserError
from equipoise.files import atomic_path, file_digest
from equipoise.progress import log, track
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from equipoise.modelling.chat import Encoded

TOKENISED_AT_ONCE = 1000
LOOKED_AT = 2000
"""Rows that `look` reads."""


def prepare_pool(config: Experiment) -> None:
    """Writes the pool's Parquet file and, last, its manifest with the shard plan.

    With `pool.decontaminate: remove`, rows that `decontaminate` found are left out. The manifest's `reading` says what became of the
    source's rows. Raises `UserError` for unreadable or empty sources, bad rows, and more shards than 1,024-row chunks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from equipoise.data.encoding import told_of_cut
    from equipoise.modelling.base import load_tokenizer
    from equipoise.modelling.template import template_of

    layout = config.layout
    summary = Summary()
    read = list(pool_records(config, summary))
    for line in summary.lines():
        log(f"pool: {line}")
    if not read:
        source = config.pool.dataset or ", ".join(config.pool.files)
        raise UserError(f"pool: no example in {source} ({summary.rows} rows); name a source with at least one")
    clean = _uncontaminated(config, read) if config.pool.decontaminate == "remove" else read
    tokenizer = load_tokenizer(config.model)
    records, lengths = tokenised(config, tokenizer, clean, summary)
    tokens, completion, cuts = map(list, zip(*lengths, strict=True))
    cut = sum(cuts)
    shards = plan_shards(len(records), config.pool.shards)
    if said := told_of_cut(cut, len(records), config.model.max_length, "model.max_length"):
        log(f"pool: {said}")
    if not template_of(tokenizer).shows_tools and (with_tools := sum(record.tools is not None for record in records)):
        log(f"pool: {with_tools:,} rows name tools, which the chat template does not show the model")
    table = pa.table(
        {
            "row": pa.array(range(len(records)), pa.int64()),
            "prompt": [r.prompt for r in records],
            "response": [r.response for r in records],
            **{name: pa.array(values, pa.string()) for name, values in to_columns(records).items()},
            "tokens": pa.array(tokens, pa.int32()),
            "completion_tokens": pa.array(completion, pa.int32()),
        }
    )
    with atomic_path(layout.pool) as part:
        pq.write_table(table, part)
    flagged = [i for i, n in enumerate(completion) if n == 0]
    if flagged:
        first = records[flagged[0]].id
        log(f"{len(flagged)} rows have no completion token within {config.model.max_length} tokens and cannot be selected, as {first}")
    digest = file_digest(layout.pool)
    publish(
        config,
        "pool",
        {},
        [layout.pool],
        rows=len(records),
        digest=digest,
        fingerprint=fingerprint({"pool": digest, "max_length": config.model.max_length}),
        shards=shards,
        sources=dict(sorted(Counter(r.source for r in records).items())),
        tokens=sum(tokens),
        completion_tokens=sum(completion),
        without_completion=len(flagged),
        cut=cut,
        removed=len(read) - len(clean),
        reading=summary.content(),
    )
    log(f"pool: {len(records):,} rows, {sum(tokens):,} tokens, {len(shards)} shards -> {layout.pool}")


def pool_options(pool: Pool) -> Options:
    """How the configuration wants the pool's source to be read."""
    return Options(pool.format, pool.columns, pool.bad_rows, pool.repeated_ids, pool.deduplicate, pool.limit)


def pool_records(config: Experiment, summary: Summary) -> Iterator[Record]:
    """Records of the pool's source in their order, up to `pool.limit`. Raises `UserError` naming what cannot be read, and where."""
    pool, options = config.pool, pool_options(config.pool)
    if not pool.dataset:
        return read_files(pool.files, options, summary)
    from equipoise.harness.revisions import commits, refuse_other_commits

    rows = load_hub(pool.dataset, pool.name, pool.revision, pool.split)
    refuse_other_commits(config, "pool.revision", commits({pool.split: rows}), "pool", "commits")
    return read_records(dataset_rows(rows, pool.dataset), options, summary)


def records_digest(records: list[Record]) -> str:
    """SHA-256 of what records say, in their order."""
    return fingerprint([record.key for record in records])


def _uncontaminated(config: Experiment, records: list[Record]) -> list[Record]:
    """The records without those that share words with a test item. Raises `UserError` when other records were searched, or none is left."""
    contamination = open_artefact(config, "contamination")
    if contamination["source"] != records_digest(records):
        raise UserError(f"{contamination.path}: was made for another pool; run decontaminate again")
    removed = set().union(*(task["rows"] for task in contamination["tasks"].values()))
    kept = [record for number, record in enumerate(records) if number not in removed]
    if not kept:
        raise UserError("pool.decontaminate: every row shares words with a test item; write report, or give another pool")
    log(f"pool: {len(removed):,} of {len(records):,} rows share words with a test item and are left out")
    return kept


def tokenised(
    config: Experiment, tokenizer: Any, records: list[Record], summary: Summary
) -> tuple[list[Record], list[tuple[int, int, bool]]]:
    """Records, and of each its tokens, those with a loss, and whether it is cut before its last end token.

    Those that the chat template or the tokenizer cannot take are bad rows, as `pool.bad_rows` has them; `summary` counts them. Raises
    `UserError` for them with `bad_rows: refuse`, and when none is left.
    """
    kept: list[Record] = []
    lengths: list[tuple[int, int, bool]] = []
    bad: list[tuple[Record, str]] = []
    batches = [records[i : i + TOKENISED_AT_ONCE] for i in range(0, len(records), TOKENISED_AT_ONCE)]
    for batch in track(batches, "tokenising the pool", len(records), size=len):
        for record, example in zip(batch, _encoded(config, tokenizer, batch), strict=True):
            if isinstance(example, str):
                bad.append((record, example))
            else:
                kept.append(record)
                lengths.append((len(example.input_ids), example.completion_tokens, example.cut))
    if bad and (config.pool.bad_rows == "refuse" or not kept):
        named = "; ".join(f"{record.id}: {reason}" for record, reason in bad[:NAMED]) + ("; ..." if len(bad) > NAMED else "")
        raise UserError(f"pool: {named} ({len(bad):,} of {len(records):,} rows are bad: correct them, or write bad_rows: skip)")
    for _, reason in bad:
        summary.bad_rows[reason] += 1
    for reason, n in Counter(reason for _, reason in bad).most_common():
        log(f"pool: {n:,} rows are left out: {reason}")
    summary.records -= len(bad)
    return kept, lengths


def look(config: Experiment) -> list[str]:
    """What a reader should know of the pool's first rows, a line each, before anything is prepared. Raises as `prepare_pool` does."""
    from equipoise.data.encoding import told_of_cut
    from equipoise.modelling.base import load_tokenizer

    first = config.pool.model_copy(update={"limit": min(config.pool.limit or LOOKED_AT, LOOKED_AT)})
    summary = Summary()
    records = list(pool_records(config.model_copy(update={"pool": first}), summary))
    lines = summary.lines()
    _, lengths = tokenised(config, load_tokenizer(config.model), records, summary)
    cut = told_of_cut(sum(is_cut for _, _, is_cut in lengths), len(lengths), config.model.max_length, "model.max_length")
    return [*lines, *([cut] if cut else [])]


def _encoded(config: Experiment, tokenizer: Any, records: list[Record]) -> list["Encoded | str"]:
    """Tokens of records, or why there are none."""
    from equipoise.modelling.chat import encode_conversations
    from equipoise.modelling.tokens import UnfitText

    conversations, tools = [record.messages for record in records], [record.tools for record in records]
    try:
        return [*encode_conversations(tokenizer, conversations, config.model.max_length, config.training.last_turn, tools)]
    except UnfitText as error:
        if len(records) == 1:
            return [str(error)]
        middle = len(records) // 2
        return [*_encoded(config, tokenizer, records[:middle]), *_encoded(config, tokenizer, records[middle:])]


def read_pool(path: str | Path, columns: list[str] | None = None) -> dict[str, list]:
    """Columns of a prepared pool as Python lists, by name."""
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=columns).to_pydict()
