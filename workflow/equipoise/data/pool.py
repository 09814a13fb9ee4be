"""Prepares the pool: reads files or a hub data set into one Parquet file with ids, conversations and token counts.

`pool.parquet` has one row per example, in source order: row int64; id, source, messages, tools and metadata as conversation/record.py
says; prompt and response, the texts before the last assistant turn and of that turn; tokens and completion_tokens int32 (after cutting to
`model.max_length`; 0 completion tokens = no gradient). Rows are read, tokenised and written as they come: memory does not grow with them
but for some 80 bytes a row, by which repeated ids and conversations are known; with `deduplicate: near` for several kilobytes.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from equipoise.config import Experiment, Pool
from equipoise.conversation.reading import NAMED, Options, Summary, read_files, read_records
from equipoise.conversation.record import Record
from equipoise.conversation.sources import dataset_rows, load_hub
from equipoise.data.pool_file import PoolWriter
from equipoise.data.shards import plan_shards
from equipoise.errors import UserError
from equipoise.files import atomic_path, file_digest
from equipoise.progress import log, track
from equipoise.store.artefact import Artefact, open_artefact, publish
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from equipoise.modelling.chat import Length

Item, Made = TypeVar("Item"), TypeVar("Made")
TOKENISED_AT_ONCE = 1000
AHEAD = 2
"""Batches that are read while one is tokenised."""
LOOKED_AT = 2000
"""Rows that `look` reads."""


@dataclass
class _Counts:
    """What log and manifest say of the rows written."""

    sources: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    completion_tokens: int = 0
    cut: int = 0
    without_completion: int = 0
    first_without: str = ""
    with_tools: int = 0

    def add(self, record: Record, length: "Length") -> None:
        self.sources[record.source] += 1
        self.tokens += length.tokens
        self.completion_tokens += length.completion
        self.cut += length.cut
        self.with_tools += record.tools is not None
        if not length.completion:
            self.without_completion += 1
            self.first_without = self.first_without or record.id


class RecordsDigest:
    """SHA-256 of what records say, in their order: the fingerprint of their keys."""

    def __init__(self) -> None:
        self.records = 0
        self._hash = hashlib.sha256()

    def add(self, record: Record) -> None:
        self._hash.update(f'{"," if self.records else "["}"{record.key}"'.encode())
        self.records += 1

    def hexdigest(self) -> str:
        whole = self._hash.copy()
        whole.update(b"]" if self.records else b"[]")
        return whole.hexdigest()


def prepare_pool(config: Experiment) -> None:
    """Writes the pool's Parquet file and, last, its manifest with the shard plan.

    With `pool.decontaminate: remove`, rows that `decontaminate` found are left out. The manifest's `reading` says what became of the
    source's rows. Raises `UserError` for unreadable or empty sources, bad rows, and more shards than 1,024-row chunks.
    """
    from equipoise.data.encoding import told_of_cut
    from equipoise.modelling.base import load_tokenizer
    from equipoise.modelling.template import template_of

    layout, longest = config.layout, config.model.max_length
    summary, counts = Summary(), _Counts()
    contamination = open_artefact(config, "contamination") if config.pool.decontaminate == "remove" else None
    tokenizer = load_tokenizer(config.model)
    with atomic_path(layout.pool) as part:
        records = _fit_to_tokenise(config, pool_records(config, summary), summary)
        if contamination is not None:
            records = _uncontaminated(contamination, records)
        with PoolWriter(part) as writer:
            for batch in _batches(tokenised(config, tokenizer, records, summary)):
                for record, length in batch:
                    counts.add(record, length)
                kept, lengths = zip(*batch, strict=True)
                writer.add(kept, [each.tokens for each in lengths], [each.completion for each in lengths])
        if not writer.rows:
            source = config.pool.dataset or ", ".join(config.pool.files)
            raise UserError(f"pool: no example in {source} ({summary.rows} rows); name a source with at least one")
        shards = plan_shards(writer.rows, config.pool.shards)
    for line in summary.lines():
        log(f"pool: {line}")
    removed = contamination["found"] if contamination is not None else 0
    if removed:
        log(f"pool: {removed:,} of {contamination['rows']:,} rows share words with a test item and are left out")
    if said := told_of_cut(counts.cut, writer.rows, longest, "model.max_length"):
        log(f"pool: {said}")
    if not template_of(tokenizer).shows_tools and counts.with_tools:
        log(f"pool: {counts.with_tools:,} rows name tools, which the chat template does not show the model")
    if flagged := counts.without_completion:
        log(f"{flagged} rows have no completion token within {longest} tokens and cannot be selected, as {counts.first_without}")
    digest = file_digest(layout.pool)
    publish(
        config,
        "pool",
        {},
        [layout.pool],
        rows=writer.rows,
        digest=digest,
        fingerprint=fingerprint({"pool": digest, "max_length": longest}),
        shards=shards,
        sources=dict(sorted(counts.sources.items())),
        tokens=counts.tokens,
        completion_tokens=counts.completion_tokens,
        without_completion=counts.without_completion,
        cut=counts.cut,
        removed=removed,
        reading=summary.content(),
    )
    log(f"pool: {writer.rows:,} rows, {counts.tokens:,} tokens, {len(shards)} shards -> {layout.pool}")


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


def _fit_to_tokenise(config: Experiment, records: Iterable[Record], summary: Summary) -> Iterator[Record]:
    """The records; from the first bad row on none, where such rows are refused at the end: the others are only counted."""
    for record in records:
        if not (summary.bad_rows and config.pool.bad_rows == "refuse"):
            yield record


def _uncontaminated(contamination: Artefact, records: Iterable[Record]) -> Iterator[Record]:
    """The records without those that share words with a test item. Raises `UserError` when other records were searched, or none is left."""
    removed = set().union(*(task["rows"] for task in contamination["tasks"].values()))
    digest, kept = RecordsDigest(), 0
    for number, record in enumerate(records):
        digest.add(record)
        if number not in removed:
            kept += 1
            yield record
    if digest.records and contamination["source"] != digest.hexdigest():
        raise UserError(f"{contamination.path}: was made for another pool; run decontaminate again")
    if digest.records and not kept:
        raise UserError("pool.decontaminate: every row shares words with a test item; write report, or give another pool")


def tokenised(config: Experiment, tokenizer: Any, records: Iterable[Record], summary: Summary) -> Iterator[tuple[Record, "Length"]]:
    """Records with their lengths, in their order, batch by batch as they come.

    Those that the chat template or the tokenizer cannot take are bad rows, as `pool.bad_rows` has them; `summary` counts them. Raises
    `UserError` for them at the end with `bad_rows: refuse`, and when none is left.
    """
    read = kept = 0
    bad: Counter[str] = Counter()
    named: list[str] = []
    work = _ahead(lambda batch: _lengths(config, tokenizer, batch), _batches(records))
    for batch, lengths in track(work, "tokenising the pool", 0, size=lambda item: len(item[0])):
        read += len(batch)
        for record, length in zip(batch, lengths, strict=True):
            if isinstance(length, str):
                bad[length] += 1
                named += [f"{record.id}: {length}"][: NAMED - len(named)]
            else:
                kept += 1
                yield record, length
    if bad and (config.pool.bad_rows == "refuse" or not kept):
        text = "; ".join(named) + ("; ..." if bad.total() > len(named) else "")
        raise UserError(f"pool: {text} ({bad.total():,} of {read:,} rows are bad: correct them, or write bad_rows: skip)")
    summary.bad_rows += bad
    for reason, n in bad.most_common():
        log(f"pool: {n:,} rows are left out: {reason}")
    summary.records -= bad.total()


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    items = iter(items)
    while batch := list(islice(items, TOKENISED_AT_ONCE)):
        yield batch


def _ahead(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[tuple[Item, Made]]:
    """Items and what is made of each, in their order, made in one thread beside the one that asks: the tokenizer uses the stage's other
    threads itself, and lets go of the interpreter while it does."""
    with ThreadPoolExecutor(1, "tokeniser") as worker:
        waiting: deque[tuple[Item, Any]] = deque()
        for item in items:
            waiting.append((item, worker.submit(make, item)))
            if len(waiting) > AHEAD:
                first, made = waiting.popleft()
                yield first, made.result()
        for item, made in waiting:
            yield item, made.result()


def look(config: Experiment) -> list[str]:
    """What a reader should know of the pool's first rows, a line each, before anything is prepared. Raises as `prepare_pool` does."""
    from equipoise.data.encoding import told_of_cut
    from equipoise.modelling.base import load_tokenizer

    first = config.pool.model_copy(update={"limit": min(config.pool.limit or LOOKED_AT, LOOKED_AT)})
    summary = Summary()
    records = list(pool_records(config.model_copy(update={"pool": first}), summary))
    lines = summary.lines()
    lengths = [length for _, length in tokenised(config, load_tokenizer(config.model), records, summary)]
    cut = told_of_cut(sum(length.cut for length in lengths), len(lengths), config.model.max_length, "model.max_length")
    return [*lines, *([cut] if cut else [])]


def _lengths(config: Experiment, tokenizer: Any, records: list[Record]) -> list["Length | str"]:
    """Lengths of records in tokens, or why there are none."""
    from equipoise.modelling.chat import conversation_lengths
    from equipoise.modelling.tokens import UnfitText

    conversations, tools = [record.messages for record in records], [record.tools for record in records]
    try:
        return [*conversation_lengths(tokenizer, conversations, config.model.max_length, config.training.last_turn, tools)]
    except UnfitText as error:
        if len(records) == 1:
            return [str(error)]
        middle = len(records) // 2
        return [*_lengths(config, tokenizer, records[:middle]), *_lengths(config, tokenizer, records[middle:])]
