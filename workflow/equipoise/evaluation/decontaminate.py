"""Pool rows that share a 13-gram with an evaluated item: how many per task, and which (the check of GPT-3 and its successors).

The source of the pool is searched, not the prepared pool, so that `prepare_pool` can leave out what was found (pool.decontaminate).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.config import Experiment
from equipoise.conversation.reading import Summary
from equipoise.conversation.record import Record, message_text
from equipoise.data.pool import RecordsDigest, pool_records
from equipoise.data.task_files import held_out_records
from equipoise.errors import UserError
from equipoise.evaluation.items import suite_items
from equipoise.harness.words import GRAM, grams
from equipoise.progress import log, track
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.manifest import fingerprint


def overlapping(rows: Iterable[tuple[int, str]], items: Mapping[str, Iterable[str]], size: int = GRAM) -> dict[str, list[int]]:
    """Per task the numbers of the rows whose text shares a gram with one of the task's items, in their order."""
    owners: dict[str, set[str]] = defaultdict(set)
    for task, texts in items.items():
        for text in texts:
            for gram in grams(text, size):
                owners[gram].add(task)
    hits: dict[str, list[int]] = {task: [] for task in items}
    for number, text in rows:
        for task in sorted(set().union(*(owners[gram] for gram in grams(text, size) if gram in owners))):
            hits[task].append(number)
    return hits


def decontaminate(config: Experiment) -> dict[str, Any]:
    """Compares the rows of the pool's source with the evaluated items of every suite; writes layout.contamination and returns what it says.

    Its `tasks` gives, by task, `items` (compared), `rows` (numbers of the source's examples, from 0, that share a 13-gram with one of them)
    and `count`; `rows` is the number of examples searched, `found` that of those found for any task, `source` the digest of what they
    say. An example's text is that of its turns; an item's its question, without the prompt around it, and its target. Raises `UserError`
    when the source or the targets cannot be read, or when no task has a suite.
    """
    suites = sorted({task.suite for task in config.tasks.values() if task.suite})
    if not suites:
        raise UserError("tasks: none names a suite, so there are no test items to compare the pool with")
    texts: dict[str, list[str]] = {}
    for suite in suites:
        items = suite_items(config, suite, whole=True)
        for name, leaves in items.leaves.items():
            columns = BENCHMARKS[config.tasks[name].benchmark].searched
            texts[name] = [text for leaf in leaves for text in _texts(items.tasks[leaf], items.samples[leaf], items.targets[leaf], columns)]
    for name, task in config.tasks.items():
        if task.suite and not task.lm_eval_tasks:
            validation = set(open_artefact(config, "targets", task=name)["hashes"])
            texts[name] = [" ".join(map(message_text, record.messages)) for _, record in held_out_records(config, name, validation)[0]]
    texts = {name: texts[name] for name in config.tasks if name in texts}
    digest = RecordsDigest()
    hits = overlapping(enumerate(_searched(track(pool_records(config, Summary()), "decontaminate", 0), digest)), texts)
    content = {
        "gram": GRAM,
        "source": digest.hexdigest(),
        "rows": digest.records,
        "found": len(set().union(*hits.values())),
        "tasks": {name: {"items": len(texts[name]), "count": len(listed), "rows": listed} for name, listed in hits.items()},
    }
    publish(config, "contamination", {}, **content, fingerprint=fingerprint(content))
    for name, task in content["tasks"].items():
        log(f"decontaminate {name}: {task['count']:,} pool rows share {GRAM} words with one of {task['items']:,} test items")
    return content


def _searched(records: Iterable[Record], digest: RecordsDigest) -> Iterator[str]:
    """The texts of records, which `digest` is told of."""
    for record in records:
        digest.add(record)
        yield " ".join(map(message_text, record.messages))


def _texts(task: Any, doc_ids: list[int], targets: Mapping[int, str], columns: Sequence[str]) -> list[str]:
    from equipoise.harness.documents import searched_text

    docs = list(task.eval_docs)
    return [f"{searched_text(task, docs[doc_id], columns)} {targets[doc_id]}" for doc_id in doc_ids]
