"""Selected examples for browsing: what each selector chose, in order, and why."""

import json
from pathlib import Path

from equipoise.budgets import budget_label
from equipoise.config import Experiment
from equipoise.conversation.record import message_text
from equipoise.experiment import selection_seeds
from equipoise.reporting.labels import budget_text
from equipoise.selectors import selector
from equipoise.store.artefact import open_artefact

PICKS = 500  # shown of one selector: the page stays small for a large pool
CHARACTERS = 500  # shown of one prompt or response


def selected_examples(config: Experiment) -> dict[str, object]:
    """First picks of every selector's largest selection, for the page.

    Returns {selectors, tasks, sources: names; budgets: [[text, picks]] ascending; rows: {pool row: [source, prompt, response]};
    picks: [[selector, rank, pool row, task or -1, validation id, score, margin]]} with places in the lists of names.
    """
    selectors = [name for name in config.selectors if selector(name).chooses]
    tasks, sources = list(config.tasks), []
    rows: dict[int, list[object]] = {}
    picks, sizes = [], {}
    for name in selectors:
        seed = selection_seeds(config, name)[0]
        labels = map(budget_label, config.budgets)
        paths = {
            label: open_artefact(config, "selection", selector=name, selection_seed=seed, budget=label).only_file() for label in labels
        }
        counts = {label: _lines(path) for label, path in paths.items()}
        sizes |= counts
        for pick in _first(paths[max(counts, key=counts.__getitem__)]):
            if pick["row"] not in rows:
                if pick["source"] not in sources:
                    sources.append(pick["source"])
                rows[pick["row"]] = [sources.index(pick["source"]), *_texts(pick["messages"])]
            task = tasks.index(pick["task"]) if pick.get("task") in tasks else -1
            why = [pick.get("validation_id") or "", _rounded(pick.get("score")), _rounded(pick.get("margin"))]
            picks.append([selectors.index(name), pick["rank"], pick["row"], task, *why])
    return {
        "selectors": [selector(name).short_label for name in selectors],
        "tasks": tasks,
        "sources": sources,
        "budgets": sorted(([budget_text(label), size] for label, size in sizes.items()), key=lambda pair: pair[1]),
        "rows": rows,
        "picks": picks,
        "shown": PICKS,
    }


def _texts(messages: list[dict[str, object]]) -> tuple[str, str]:
    """What stands before the last turn, each turn under its role where there are several, and that turn."""
    *before, last = [_cut(message_text(message)) for message in messages]
    named = [f"[{message['role']}] {text}" for message, text in zip(messages, before, strict=False)]
    return " ⏎ ".join(named if len(before) > 1 else before), last


def _first(path: Path) -> list[dict[str, object]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(PICKS), strict=False)]


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
