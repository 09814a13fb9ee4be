"""Validation examples of the target tasks, and the test items that must not be evaluated because of them."""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.benchmarks.benchmark import Benchmark
from equipoise.config import Experiment, Suite
from equipoise.conversation.reading import Summary
from equipoise.conversation.record import json_text
from equipoise.conversation.sources import input_files
from equipoise.data.draw import Document, draw, hold_out
from equipoise.data.task_files import file_records, held_out_records
from equipoise.errors import UserError
from equipoise.files import atomic_path, canonical_json, file_digest
from equipoise.hub import hub_reason
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
    import jinja2

    from equipoise.harness.drawing import in_one_line

    try:
        with in_one_line(f"tasks.{name}: its lm-eval tasks cannot be put into words") if source.any_task else nullcontext():
            return _drawn(config, name, source, suite)
    except (KeyError, jinja2.UndefinedError) as error:
        raise UserError(f"tasks.{name}: {hub_reason(error)}") from error


def _drawn(config: Experiment, name: str, source: Benchmark, suite: Suite) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from equipoise.harness.documents import content_hash, evaluation_prompt, refuse_missing_columns, refuse_without_punkt_tab
    from equipoise.harness.revisions import commits, refuse_other_commits
    from equipoise.harness.shots import fixed_shots, without_own_item, without_validation_shots
    from equipoise.harness.tasks import load_tasks, set_up

    task = config.tasks[name]
    leak_free = config.targets.validation == "leak_free"
    where = f"tasks.{name}.lm_eval_tasks"
    loaded = load_tasks(task.lm_eval_tasks or source.tasks, suite.include_path, where, task.revision).tasks
    sources = {leaf: commits(lm_eval_task.dataset) for leaf, lm_eval_task in loaded.items()}
    for leaf, lm_eval_task in loaded.items():
        refuse_other_commits(config, f"tasks.{name}.revision", sources[leaf], "tasks", name, leaf)
        refuse_missing_columns(source, f"tasks.{name}", leaf, lm_eval_task)
        set_up(lm_eval_task, suite)
        without_own_item(lm_eval_task)
    evaluated = {leaf: _documents(leaf, lm_eval_task, None) for leaf, lm_eval_task in loaded.items()}
    split = source.leak_free_split if leak_free else source.split
    if source.any_task:
        pool, may_serve, reasons = _of_any_task(f"tasks.{name}", loaded, evaluated, leak_free)
    else:
        pool = evaluated if split is None else {leaf: _documents(leaf, lm_eval_task, split) for leaf, lm_eval_task in loaded.items()}
        may_serve, reasons = (lambda document: True), Counter()
    files = task.files if source.accept else []
    responses = {content_hash(record.prompt): record.response for _, record in file_records(task, files, Summary())}
    shots = {leaf: fixed_shots(lm_eval_task) for leaf, lm_eval_task in loaded.items()}

    def serves(document: Document) -> bool:
        if document.content_hash in shots[document.leaf] or not may_serve(document):
            return False
        if source.accept is None:
            return True
        response = responses.get(document.content_hash)
        if response is None:
            return False
        refuse_without_punkt_tab(f"lm-eval task {document.leaf}", [document.doc])
        return source.accept(loaded[document.leaf], document.doc, response)

    chosen = draw(pool, config.targets.size, _seed(config, name), serves)
    passed_over = [f"{count:,} {reason}" for reason, count in sorted(reasons.items())]
    if len(chosen) < config.targets.size:
        what = "responses that pass the checker" if source.accept else "examples"
        size = f"targets.size {config.targets.size}{''.join(f', as {each}' for each in passed_over)}; write at most {len(chosen)}"
        raise UserError(f"tasks.{name}: there are {len(chosen)} {what}, fewer than {size}")
    for each in passed_over:
        log(f"prepare_targets {name}: {each}, and do not serve for validation")
    if source.any_task:
        for leaf, lm_eval_task in loaded.items():  # shots may come from the split that examples come from
            without_validation_shots(lm_eval_task, {document.content_hash for document in chosen if document.leaf == leaf})
    rows = []
    for document in chosen:
        lm_eval_task, doc = loaded[document.leaf], dict(document.doc)
        given = responses.get(document.content_hash)
        rows.append(
            {
                "id": f"{document.leaf}/{document.split}/{document.doc_id}",
                "task": name,
                "prompt": evaluation_prompt(lm_eval_task, doc, suite.chat),
                "response": given if source.accept else response_of(source, lm_eval_task, doc, suite.chat),
                "chat": suite.chat,
                "content_hash": document.content_hash,
                "origin": canonical_json({"lm_eval_task": document.leaf, "split": document.split, "doc_id": document.doc_id}),
            }
        )
    held_out = hold_out(evaluated, chosen, source.family, source.leak_free_evaluates if leak_free else None)
    if task.suite and task.lm_eval_tasks:
        _refuse_uncheckable(f"suites.{task.suite}: {name}", evaluated, held_out, chosen, suite.limit)
    hashes = {leaf: [evaluated[leaf][doc_id].content_hash for doc_id in ids] for leaf, ids in held_out.items()}
    sources |= _digests(task.files)
    return rows, _manifest(config, name, rows, held_out, hashes, sources)


def _refuse_uncheckable(where: str, evaluated: dict, held_out: dict, chosen: list[Document], limit: int | None) -> None:
    """Raises `UserError` when an answer to an item that will be evaluated could not be graded here: said now, not after the training."""
    from equipoise.harness.chosen import choose
    from equipoise.harness.documents import refuse_without_punkt_tab

    validation = {document.content_hash for document in chosen}
    for leaf, docs in evaluated.items():
        kept = choose(leaf, [document.content_hash for document in docs], held_out.get(leaf, []), validation, limit)
        refuse_without_punkt_tab(where, (docs[doc_id].doc for doc_id in kept))


def _of_any_task(
    where: str, tasks: dict[str, Any], evaluated: dict[str, list[Document]], leak_free: bool
) -> tuple[dict, Callable, Counter]:
    """Documents to draw from by leaf, whether one may serve, and why those that were asked about may not."""
    from equipoise.harness.drawing import apart_split, refuse_unlearnable, serving

    pool, apart = {}, {}
    for leaf, task in tasks.items():
        refuse_unlearnable(f"{where}: lm-eval task {leaf}", task)
        split, docs = apart_split(f"{where}: lm-eval task {leaf}", task, leak_free)
        pool[leaf] = _listed(leaf, task, split, docs)
        if evaluated[leaf] and evaluated[leaf][0].split != split:
            apart[leaf] = [document.doc for document in evaluated[leaf]]
    may_serve, reasons = serving(tasks, apart)
    return pool, lambda document: may_serve(document.leaf, document.doc), reasons


def response_of(source: Benchmark, task: Any, doc: dict[str, Any], chat: bool) -> str:
    """The response that a document stands for, as a benchmark says it or as lm-eval scores its target; empty where it has none."""
    from equipoise.harness.documents import target_text
    from equipoise.harness.drawing import continuation, reference

    if source.response is not None:
        return source.response(task, doc, target_text(task, doc))
    target = reference(task, doc)
    return "" if target is None else continuation(task, target, chat)


def _documents(leaf: str, task: Any, split: str | None) -> list[Document]:
    """Documents of a split, processed as the task does; none: the evaluated one."""
    if split is None:
        split = task.config.test_split or task.config.validation_split or ("test" if task.has_test_docs() else "validation")
        docs = list(task.eval_docs)
    elif split in task.dataset:
        docs = list(task.config.process_docs(task.dataset[split]) if task.config.process_docs else task.dataset[split])
    else:
        raise UserError(f"lm-eval task {leaf}: its data set has no split {split!r} to draw from; it has {', '.join(task.dataset)}")
    return _listed(leaf, task, split, docs)


def _listed(leaf: str, task: Any, split: str, docs: list[Any]) -> list[Document]:
    from equipoise.harness.documents import content_hash, question

    return [Document(leaf, split, i, content_hash(question(task, doc)), doc) for i, doc in enumerate(docs)]


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
