"""Validation examples drawn from a benchmark's lm-eval tasks, and the test items that must not be evaluated because of them."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from equipoise.benchmarks.benchmark import Benchmark
from equipoise.config import Experiment, Suite
from equipoise.conversation.reading import Summary
from equipoise.data.draw import Document, draw, hold_out
from equipoise.data.task_files import file_records
from equipoise.errors import UserError
from equipoise.files import canonical_json
from equipoise.hub import hub_reason
from equipoise.progress import log


@dataclass(frozen=True)
class Drawn:
    """The validation examples of one task, as rows, and what of its benchmark must not be evaluated because of them.

    held_out: document ids by leaf task; hashes: their content hashes; sources: commits of the data sets by leaf task.
    """

    rows: list[dict[str, Any]]
    held_out: dict[str, list[int]]
    hashes: dict[str, list[str]]
    sources: dict[str, Any]


def drawn_examples(config: Experiment, name: str, source: Benchmark, suite: Suite, seed: str) -> Drawn:
    """Draws a task's validation examples from its benchmark. Raises `UserError` for data that do not serve, or are too few."""
    import jinja2

    from equipoise.harness.drawing import in_one_line

    try:
        with in_one_line(f"tasks.{name}: its lm-eval tasks cannot be put into words") if source.any_task else nullcontext():
            return _drawn(config, name, source, suite, seed)
    except (KeyError, jinja2.UndefinedError) as error:
        raise UserError(f"tasks.{name}: {hub_reason(error)}") from error


def _drawn(config: Experiment, name: str, source: Benchmark, suite: Suite, seed: str) -> Drawn:
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

    chosen = draw(pool, config.targets.size, seed, serves)
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
    return Drawn(rows, held_out, hashes, sources)


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
