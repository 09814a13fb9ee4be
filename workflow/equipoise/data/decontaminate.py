"""Pool rows that share a 13-gram with an evaluated item: how many per task, and which (the check of GPT-3 and its successors)."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.layout import Layout
from equipoise.progress import log, track
from equipoise.store.manifest import file_digest, fingerprint, read_manifest, write_manifest

GRAM = 13
WORD = re.compile(r"\w+", re.UNICODE)
ROWS_A_BATCH = 8192


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return WORD.findall(text.lower())


def grams(text: str, size: int = GRAM) -> set[str]:
    """Every run of `size` words; a shorter text has none."""
    listed = words(text)
    return {" ".join(listed[i : i + size]) for i in range(len(listed) - size + 1)}


def overlapping(rows: Iterable[tuple[int, str]], items: Mapping[str, Iterable[str]], size: int = GRAM) -> dict[str, list[int]]:
    """Per task the numbers of the rows whose text shares a gram with one of the task's items, in their order."""
    owners: dict[str, set[str]] = defaultdict(set)
    for task, texts in items.items():
        for text in texts:
            for gram in grams(text, size):
                owners[gram].add(task)
    found: dict[str, list[int]] = {task: [] for task in items}
    for number, text in rows:
        for task in sorted(set().union(*(owners[gram] for gram in grams(text, size) if gram in owners))):
            found[task].append(number)
    return found


def decontaminate(config: Experiment) -> None:
    """Compares the pool with the evaluated items of every suite; writes <root>/pool/contamination.json.

    Its `tasks` gives, by task, `items` (compared), `rows` (numbers of pool rows that share a 13-gram with one of them) and `count`.
    A row's text is its prompt and response; an item's its question and its target. Nothing is removed. Raises `UserError` when pool
    or targets are missing, or when no task has a suite.
    """
    import pyarrow.parquet

    from equipoise.evaluation.items import suite_items

    layout = Layout(config.results, config.experiment, config.model.name)
    read_manifest(layout.pool_manifest, "pool")
    suites = sorted({task.suite for task in config.tasks.values() if task.suite})
    if not suites:
        raise UserError("tasks: none names a suite, so there are no test items to compare the pool with")
    texts: dict[str, list[str]] = {}
    for suite in suites:
        items = suite_items(config, suite, whole=True)
        for name, leaves in items.leaves.items():
            texts[name] = [text for leaf in leaves for text in _texts(items.tasks[leaf], items.samples[leaf], items.targets[leaf])]
    file = pyarrow.parquet.ParquetFile(layout.pool)
    batches = file.iter_batches(ROWS_A_BATCH, columns=["row", "prompt", "response"])
    shown = track(batches, "decontaminate", file.metadata.num_rows, size=lambda batch: batch.num_rows)
    rows = ((row["row"], f"{row['prompt']} {row['response']}") for batch in shown for row in batch.to_pylist())
    found = overlapping(rows, texts)
    tasks = {name: {"items": len(texts[name]), "count": len(listed), "rows": listed} for name, listed in found.items()}
    content = {"gram": GRAM, "pool": file_digest(layout.pool), "tasks": tasks}
    write_manifest(contamination_path(config), "contamination", **content, fingerprint=fingerprint(content))
    for name, task in tasks.items():
        log(f"decontaminate {name}: {task['count']:,} pool rows share {GRAM} words with one of {task['items']:,} test items")


def _texts(task: Any, doc_ids: list[int], targets: Mapping[int, str]) -> list[str]:
    from equipoise.harness.documents import question

    docs = list(task.eval_docs)
    return [f"{question(task, docs[doc_id])} {targets[doc_id]}" for doc_id in doc_ids]


def contamination_path(config: Experiment) -> str:
    """Where `decontaminate` writes its counts."""
    layout = Layout(config.results, config.experiment, config.model.name)
    return str(Path(layout.pool_manifest).with_name("contamination.json"))
