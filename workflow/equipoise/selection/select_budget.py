"""The stage `select_budget`: from a ranking to a selection that is ready to train on."""

from typing import Any

import numpy as np

from equipoise.attribution.matrix_store import open_values
from equipoise.budgets import budget_rows, parse_budget
from equipoise.config import Experiment
from equipoise.conversation.record import JSON_COLUMNS, TEXT_COLUMNS, from_columns
from equipoise.errors import UserError
from equipoise.files import write_jsonl
from equipoise.progress import log
from equipoise.selection.problem import NO_COLUMN, Ranking
from equipoise.selection.rank import valid_rows
from equipoise.selection.score_rows import top_tasks
from equipoise.selection.source import Source
from equipoise.selectors import selector as find_selector
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.table_rows import taken_rows

TOP_TASKS = 3


def select_budget(config: Experiment, selector: str, selection_seed: int, budget_label: str) -> None:
    """Writes layout.selection(selector, selection_seed, budget_label), JSON lines, one per pick in rank order.

    Keys: messages as they came, tools where the record has any, id, row, rank (from 0), score, margin, column, validation_id and task (of
    the example that asked for it; null where none did), top_tasks (the three tasks with the largest mean influence of the row), source.
    Raises `UserError` when the budget goes beyond the ranking.
    """
    ranking = _read_ranking(config, selector, selection_seed)
    entry, rows = find_selector(selector), len(ranking.rows)
    if entry.swept:
        rows = budget_rows(parse_budget(budget_label), int(np.count_nonzero(valid_rows(config, entry.matrix))))
    if rows > len(ranking.rows):
        raise UserError(
            f"budget {budget_label} of {selector} is {rows} rows, but the ranking stops at {len(ranking.rows)}; "
            f"write a larger selection.rank_to than {config.selection.rank_to}"
        )
    chosen = ranking.rows[:rows]
    path = config.layout.selection(selector, selection_seed, budget_label)
    write_jsonl(path, _lines(config, ranking, chosen))
    publish(config, "selection", {"selector": selector, "selection_seed": selection_seed, "budget": budget_label}, [path], rows=rows)
    log(f"{selector}, budget {budget_label}: {rows:,} rows -> {path}")


def _read_ranking(config: Experiment, selector: str, selection_seed: int) -> Ranking:
    import pyarrow.parquet as pq

    table = pq.read_table(open_artefact(config, "ranking", selector=selector, selection_seed=selection_seed).only_file())
    return Ranking(*(table[name].to_numpy() for name in ("row", "score", "column", "margin")))


def _lines(config: Experiment, ranking: Ranking, chosen: np.ndarray) -> Any:
    import pyarrow.parquet as pq

    matrix = open_artefact(config, "matrix", matrix="influence")
    columns = matrix["columns"]
    tasks = top_tasks(Source(open_values(matrix), config.layout.matrix("influence")), chosen, [c["task"] for c in columns], TOP_TASKS)
    pieces = taken_rows(pq.ParquetFile(open_artefact(config, "pool").only_file()), (*TEXT_COLUMNS, *JSON_COLUMNS), chosen)
    records = (record for piece in pieces for record in from_columns(piece.to_pydict()))
    for at, (row, record) in enumerate(zip(chosen.tolist(), records, strict=True)):
        column = int(ranking.columns[at])
        asked = columns[column] if column != NO_COLUMN else {"id": None, "task": None}
        yield {
            **record.conversation,
            "id": record.id,
            "row": row,
            "rank": at,
            "score": _number(ranking.scores[at]),
            "margin": _number(ranking.margins[at]),
            "column": column if column != NO_COLUMN else None,
            "validation_id": asked["id"],
            "task": asked["task"],
            "top_tasks": tasks[at],
            "source": record.source,
        }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
