"""Opens every file that a configuration names, as the stages will, and counts: rows, lengths, what is cut, how large the tasks are."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from statistics import fmean
from typing import Any

from equipoise.checking.own_scores import examine_own_scores
from equipoise.collecting import is_own
from equipoise.config import Experiment
from equipoise.conversation.reading import Summary, read_files
from equipoise.data.encoding import told_of_cut
from equipoise.data.pool import pool_options, pool_records, tokenised
from equipoise.data.shards import chunk_count
from equipoise.data.targets import examined_targets
from equipoise.errors import UserError
from equipoise.experiment import miniature_files

COUNTED = 20_000
"""Rows of a pool whose tokens are counted; all of them are read."""


@dataclass(frozen=True)
class Part:
    """The pool, the warm-up's own files, a task or own scores. rows: that can be taken; left_out: that cannot, or repeat.

    counted: rows whose tokens were counted; of these tokens is the mean, longest the longest, cut how many lose their end, empty how many
    have no token to learn from. drawn: validation examples; test_items: that held-out loss is measured on (None: lm-eval knows).
    """

    name: str
    rows: int
    left_out: int
    counted: int
    tokens: float
    longest: int
    cut: int
    empty: int = 0
    drawn: int | None = None
    test_items: int | None = None
    notes: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def opened(config: Experiment) -> Iterator[Part]:
    """Every part of an experiment's data, the pool first. Raises `UserError` as the stages would for what they would refuse."""
    from pathlib import Path

    if missing := [file for file in miniature_files(config) if not Path(file).exists()]:
        command = "equipoise miniature generate --config FILE"
        raise UserError(f"{missing[0]}: not generated yet; the workflow does it, or {command}")
    from equipoise.modelling.base import base_folder, load_tokenizer
    from equipoise.modelling.base_files import read_architecture

    read_architecture(base_folder(config.model), config.model.base)  # before the tokenizer, whose reader would blame itself
    tokenizer = load_tokenizer(config.model)
    pool = _records("pool", config, tokenizer, lambda summary: pool_records(config, summary))
    if config.pool.shards > (most := chunk_count(pool.rows)):
        raise UserError(f"pool.shards: {config.pool.shards}, but {pool.rows:,} rows make at most {most} (1,024 rows each); write {most}")
    yield pool
    if config.warmup.files:
        options = replace(pool_options(config.pool), limit=None)
        yield _records("warmup.files", config, tokenizer, lambda summary: read_files(config.warmup.files, options, summary))
    targets = {}
    for name, rows, manifest in examined_targets(config, config.tasks):
        targets[name] = rows
        yield _task(config, name, len(rows), manifest)
    if is_own(config):
        rows, columns, held = examine_own_scores(config, targets)
        yield Part("gradients.matrix.file", rows, 0, 0, 0.0, 0, 0, drawn=columns, notes=(held,))


def _records(name: str, config: Experiment, tokenizer: Any, read: Any) -> Part:
    summary = Summary()
    records = read(summary)
    first = list(islice(records, COUNTED))
    for _ in records:  # to the end: they are only counted
        pass
    if not first:
        raise UserError(f"{name}: no example in its files ({summary.rows} rows); name a source with at least one")
    notes = list(summary.lines())
    whole = summary.records
    lengths = [length for _, length in tokenised(config, tokenizer, first, summary)]
    unfit = whole - summary.records
    tokens, completion, cuts = zip(*lengths, strict=True)
    if said := told_of_cut(sum(cuts), len(lengths), config.model.max_length, "model.max_length"):
        notes.append(said)
    if empty := completion.count(0):
        notes.append(f"{empty:,} rows have no completion token within {config.model.max_length} tokens and cannot be selected")
    return Part(
        name, whole - unfit, summary.rows - whole + unfit, len(lengths), fmean(tokens), max(tokens), sum(cuts), empty, notes=tuple(notes)
    )


def _task(config: Experiment, name: str, drawn: int, manifest: dict[str, Any]) -> Part:
    from equipoise.data.task_files import held_out_records

    reading, tokens = manifest.get("reading") or {}, manifest["tokens"]
    rows = reading.get("records", drawn)
    left_out = reading.get("rows", rows) - rows
    task = config.tasks[name]
    items = len(held_out_records(config, name, set(manifest["hashes"]))[0]) if task.suite and not task.lm_eval_tasks else None
    longest = config.targets.longest(config.model)
    said = told_of_cut(manifest["cut"], drawn, longest, "targets.max_length" if config.targets.max_length else "model.max_length")
    notes = (said,) if said else ()
    return Part(f"tasks.{name}", rows, left_out, drawn, fmean(tokens), max(tokens), manifest["cut"], 0, drawn, items, notes)


def as_table(parts: Sequence[Part]) -> Any:
    """The parts for a terminal."""
    from rich.table import Table

    table = Table()
    for heading in ("data", "rows", "left out", "mean tokens", "longest", "cut", "drawn", "test items"):
        table.add_column(heading, justify="left" if heading == "data" else "right")
    for part in parts:
        counted = (round(part.tokens), part.longest, part.cut) if part.counted else (None, None, None)
        numbers = (part.rows, part.left_out, *counted, part.drawn, part.test_items)
        table.add_row(part.name, *("" if number is None else f"{number:,}" for number in numbers))
    return table
