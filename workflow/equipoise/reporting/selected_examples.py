"""Picks for browsing: what each selector chose, in order, beside the validation example that asked for it."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from equipoise.budgets import budget_label, budget_rows
from equipoise.experiment import selection_seeds
from equipoise.reporting.arms import budget_order
from equipoise.reporting.labels import budget_text
from equipoise.reporting.material import Material
from equipoise.selection.explain import example_text, record_text
from equipoise.selectors import selector
from equipoise.store.artefact import open_artefact

PICKS = 500  # shown of one selector at most
TEXT_BYTES = 3 * 2**20  # of all texts together: where they would be more, fewer picks of every selector are shown
CHARACTERS = 2_000  # shown of one text


class _Texts:
    """Texts as they are shown, each cut to `CHARACTERS`; `size`: their bytes so far."""

    def __init__(self) -> None:
        self.size = 0

    def cut(self, text: str) -> list[object]:
        """The text, and how many characters of it are left out."""
        kept = text[:CHARACTERS]
        self.size += len(kept.encode("utf-8", "replace"))
        return [kept, len(text) - len(kept)]


def selected_examples(material: Material) -> dict[str, object]:
    """First picks of every selector's largest selection, for the page: equally many of each, at most `PICKS` and `TEXT_BYTES` of texts.

    Returns {selectors: [[name, label]]; tasks, sources: names; budgets: [[label, text, rows]] ascending; shown: picks of each selector;
    folder, files: where whole selections are, and of every selector with * for the budget;
    rows: {pool row: [source, id, text, characters left out, tasks it is strongest for, [[selector, rank]] of all that took it]};
    examples: [[task, validation id, text, characters left out]]; picks: [[selector, rank, pool row, example or -1, score, margin]]}, where
    selectors, tasks, sources and examples are places in their lists.
    """
    config = material.config
    names = [name for name in config.selectors if selector(name).chooses]
    tasks, sources = list(config.tasks), []
    rows: dict[int, list[object]] = {}
    known: dict[tuple[int, str], int] = {}
    examples: list[list[object]] = []
    picks, texts, wanted = [], _Texts(), _validation_examples(material)
    shown = 0
    for round_ in zip(*(_picks(material, name) for name in names), strict=False):
        if texts.size > TEXT_BYTES:
            break
        shown += 1
        for place, pick in enumerate(round_):
            row = pick["row"]
            if row not in rows:
                if pick["source"] not in sources:
                    sources.append(pick["source"])
                strongest = [tasks.index(task) for task in pick["top_tasks"] if task in tasks]
                rows[row] = [sources.index(pick["source"]), str(pick["id"]), *texts.cut(record_text(pick)), strongest, []]
            example = -1
            if pick["task"] in tasks:
                key = (tasks.index(pick["task"]), str(pick["validation_id"]))
                if key not in known:
                    known[key] = len(examples)
                    examples.append([*key, *texts.cut(wanted(pick["task"], key[1]))])
                example = known[key]
            picks.append([place, pick["rank"], row, example, _rounded(pick["score"]), _rounded(pick["margin"])])
    for place, name in enumerate(names):
        taken = material.influence.selected(name, material.most_rows)
        for rank in np.flatnonzero(np.isin(taken, list(rows))).tolist():
            rows[int(taken[rank])][-1].append([place, rank])
    return {
        "selectors": [[name, selector(name).short_label] for name in names],
        "tasks": tasks,
        "sources": sources,
        "budgets": [[label, budget_text(label), size] for label, size in _budgets(material)],
        "shown": shown,
        "folder": f"{config.layout.root}/{config.layout.place}selection",
        "files": [config.layout.selection(name, selection_seeds(config, name)[0], "*") for name in names],
        "characters": CHARACTERS,
        "rows": rows,
        "examples": examples,
        "picks": sorted(picks, key=lambda pick: pick[:2]),
    }


def _budgets(material: Material) -> list[tuple[str, int]]:
    sizes = {budget_label(budget): budget_rows(budget, material.valid) for budget in material.config.budgets}
    return sorted(sizes.items(), key=lambda pair: (pair[1], budget_order(pair[0])))


def _picks(material: Material, name: str) -> Iterator[dict[str, Any]]:
    """The first picks of a selector's largest selection by its first seed."""
    config, (label, _) = material.config, _budgets(material)[-1]
    seed = selection_seeds(config, name)[0]
    path = open_artefact(config, "selection", selector=name, selection_seed=seed, budget=label).only_file()
    with path.open(encoding="utf-8") as file:
        for line, _ in zip(file, range(PICKS), strict=False):
            yield json.loads(line)


def _validation_examples(material: Material):
    """(task, id) -> text of a validation example; each task's file is read once, when it is first asked for."""
    import pyarrow.parquet as pq

    read: dict[str, dict[str, str]] = {}

    def text(task: str, name: str) -> str:
        if task not in read:
            path = open_artefact(material.config, "targets", task=task).only_file()
            read[task] = {str(example["id"]): example_text(example) for example in pq.read_table(path).to_pylist()}
        return read[task].get(name, "")

    return text


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
