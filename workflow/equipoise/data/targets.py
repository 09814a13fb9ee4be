"""Stage prepare_targets: validation examples of the target tasks, from files or benchmarks, with what they hold out of the evaluation."""

import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.benchmarks.benchmark import Benchmark
from equipoise.config import Experiment, Suite
from equipoise.conversation.reading import Summary
from equipoise.conversation.record import json_text
from equipoise.conversation.sources import input_files
from equipoise.data.benchmark_examples import drawn_examples
from equipoise.data.task_files import file_records, held_out_records
from equipoise.errors import UserError
from equipoise.files import atomic_path, canonical_json, file_digest
from equipoise.progress import log
from equipoise.store.artefact import publish
from equipoise.store.manifest import fingerprint

COLUMNS = ("id", "task", "prompt", "response", "chat", "content_hash", "origin")


def prepare_targets(config: Experiment, tasks: list[str]) -> None:
    """Writes per task the validation examples (layout.target) and the hold-outs (layout.target_manifest, last).

    validation.parquet: id, task, prompt, response, content_hash, origin (JSON: lm-eval leaf task, split and document id, or file and line)
    as text, chat as bool; and messages and tools (JSON) where some example is more than a prompt and its response. The manifest's
    `holdout` lists document ids by leaf task, `holdout_hashes` their content hashes; `ids`, `hashes` and `tokens` list the examples' ids,
    content hashes and lengths (after cutting to `targets.max_length`) in row order; `cut` counts those cut before their last end token.
    Raises `UserError` for unknown tasks, missing data and columns, fewer examples than `targets.size`, and examples whose prompt leaves no
    room for the response.
    """
    for name, rows, manifest in examined_targets(config, tasks):
        _write(config, name, rows, manifest)


def examined_targets(config: Experiment, tasks: Iterable[str]) -> Iterator[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
    """Each task with its validation examples and its manifest but for the digest of the file; raises what `prepare_targets` does."""
    from equipoise.harness.usable import refuse_unusable_tasks
    from equipoise.modelling.base import load_tokenizer, positions_for

    tokenizer = load_tokenizer(config.model)
    positions = positions_for(config.model)
    for name in tasks:
        if name not in config.tasks:
            raise UserError(f"tasks: no task {name!r}; write one of {', '.join(config.tasks)}")
        rows, manifest = task_targets(config, name)
        refuse_unusable_tasks(config, positions, [name])
        if config.tasks[name].suite and not config.tasks[name].lm_eval_tasks:
            held_out_records(config, name, set(manifest["hashes"]))
        tokens, cut = _token_counts(config, name, rows, tokenizer)
        yield name, rows, {**manifest, "tokens": tokens, "cut": cut}


def task_targets(config: Experiment, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The validation examples of one task, and its manifest but for the digest of the file and the tokens."""
    task = config.tasks[name]
    source = BENCHMARKS[task.benchmark]
    suite = config.suites[task.suite] if task.suite else Suite(chat=source.chat, num_fewshot=source.num_fewshot)
    if source.files == "examples":
        return _from_files(config, name, task.files, suite.chat)
    if config.targets.validation == "leak_free" and source.substitutable:
        return _from_files(config, name, task.substitutes, suite.chat)
    return _from_benchmark(config, name, source, suite)


# user files
def _from_files(config: Experiment, name: str, files: list[str], chat: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from equipoise.harness.documents import content_hash

    summary = Summary()
    examples = list(file_records(config.tasks[name], files, summary))
    for line in summary.lines():
        log(f"prepare_targets {name}: {line}")
    size = config.targets.size
    if len(examples) < size:
        raise UserError(
            f"tasks.{name}: its files hold {len(examples)} examples, fewer than targets.size {size}; write targets.size: {len(examples)}"
        )
    kept = sorted(random.Random(_seed(config, name)).sample(range(len(examples)), size))
    rows = []
    for place, record in (examples[i] for i in kept):
        rows.append(
            {
                "id": record.id,
                "task": name,
                "prompt": record.prompt,
                "response": record.response,
                "chat": chat,
                "content_hash": content_hash(record.prompt),
                "origin": canonical_json({"file": Path(place.file).name, "line": place.line}),
                **({} if record.plain and not record.tools else {"messages": json_text(record.messages)}),
                **({"tools": json_text(record.tools)} if record.tools else {}),
            }
        )
    return rows, {**_manifest(config, name, rows, {}, {}, _digests(files)), "reading": summary.content()}


def _digests(files: list[str]) -> dict[str, str]:
    """SHA-256 of files by name, or by path where names repeat."""
    paths = input_files(files)
    names = Counter(Path(path).name for path in paths)
    return {Path(path).name if names[Path(path).name] == 1 else path: file_digest(path) for path in paths}


# benchmarks
def _from_benchmark(config: Experiment, name: str, source: Benchmark, suite: Suite) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    drawn = drawn_examples(config, name, source, suite, _seed(config, name))
    sources = drawn.sources | _digests(config.tasks[name].files)
    return drawn.rows, _manifest(config, name, drawn.rows, drawn.held_out, drawn.hashes, sources)


# output
def _token_counts(config: Experiment, name: str, rows: list[dict[str, Any]], tokenizer: Any) -> tuple[list[int], int]:
    """Tokens of the examples, as cut, and how many are cut before their last end token.

    One cut before its response has no gradient: refused here, before hours are spent on the others.
    """
    from equipoise.data.encoding import encode_rows, told_of_cut
    from equipoise.modelling.tokens import UnfitText

    try:
        encoded = encode_rows(rows, tokenizer, sys.maxsize, last_turn=config.training.last_turn)
    except UnfitText as error:
        raise UserError(f"tasks.{name}: a validation example: {error}; write its text without it") from None
    longest = config.targets.longest(config.model)
    for row, example in zip(rows, encoded, strict=True):
        if example.prompt_length >= longest:
            raise UserError(
                f"tasks.{name}: the prompt of validation example {row['id']} has {example.prompt_length} tokens, which leaves no room "
                f"for its response within {longest}; write a larger targets.max_length (none: as model.max_length)"
            )
    cut = sum(example.loses_its_end(longest) for example in encoded)
    if said := told_of_cut(cut, len(rows), longest, "targets.max_length"):
        log(f"prepare_targets {name}: {said}")
    return [min(len(example.input_ids), longest) for example in encoded], cut


def _seed(config: Experiment, name: str) -> str:
    return f"targets/{config.seed}/{name}"


def _manifest(config: Experiment, name: str, rows: list, held_out: dict, hashes: dict, sources: dict) -> dict[str, Any]:
    content = {
        "task": name,
        "seed": config.seed,
        "validation": config.targets.validation,
        "rows": len(rows),
        "holdout": held_out,
        "holdout_hashes": hashes,
        "ids": [row["id"] for row in rows],
        "hashes": [row["content_hash"] for row in rows],
        "sources": sources,
    }
    return {**content, "fingerprint": fingerprint([content, rows])}


def _write(config: Experiment, name: str, rows: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    layout = config.layout
    path = layout.target(name)
    columns = [*COLUMNS, *(column for column in ("messages", "tools") if any(column in row for row in rows))]
    types = {column: pyarrow.bool_() if column == "chat" else pyarrow.string() for column in columns}
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(list(types.items())))
    with atomic_path(path) as part:
        pyarrow.parquet.write_table(table, part)
    publish(config, "targets", {"task": name}, [path], digest=file_digest(path), **manifest)
    held_out = sum(map(len, manifest["holdout"].values()))
    log(f"prepare_targets {name}: {len(rows)} validation examples, {held_out} test items held out")
