"""The stages `rank` and `select_budget`: from a sealed matrix to a ranking, and from a ranking to a selection ready to train on."""

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.attribution.matrix import open_array, read_valid, refuse_missing_chunks
from equipoise.attribution.seal import MATRIX_KIND
from equipoise.budgets import budget_rows, parse_budget
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.layout import Layout
from equipoise.progress import log
from equipoise.selection.problem import NO_COLUMN, Problem, Ranking
from equipoise.selection.registry import selector as find_selector
from equipoise.selection.source import Source
from equipoise.selection.top_tasks import top_tasks
from equipoise.store.manifest import atomic_path, read_manifest

TOP_TASKS = 3


def rank(config: Experiment, selector: str, selection_seed: int) -> None:
    """Writes layout.ranking(selector, selection_seed): as far as `selection.rank_to` goes, whole for `full`.

    Columns: rank int64 (from 0), row int64, score float64, column int64 (-1: none won the step), margin float64; NaN where there is none.
    The budgets are not read: they are prefixes of this. Beside it, for the report's cost table alone and no input of anything, lies
    `seconds_path`: how long the selector itself took, its reading of the matrix included, {"seconds": float}. Raises `UserError` when
    matrix or pool are missing, stale or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    layout = Layout(config.results, config.experiment, config.model.name)
    problem = _problem(config, layout, selector, selection_seed)
    rows = budget_rows(config.selection.rank_to, int(np.count_nonzero(problem.valid)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        choose = find_selector(selector).load()
        start = time.perf_counter()
        ranking = choose(problem, rows)
        seconds = time.perf_counter() - start
    for warning in caught:
        log(f"warning: {warning.message}")
    table = pa.table(
        {
            "rank": np.arange(len(ranking.rows), dtype=np.int64),
            "row": ranking.rows,
            "score": ranking.scores,
            "column": ranking.columns,
            "margin": ranking.margins,
        }
    )
    path = layout.ranking(selector, selection_seed)
    with atomic_path(path) as part:
        pq.write_table(table, part)
    with atomic_path(seconds_path(path)) as part:
        part.write_text(json.dumps({"seconds": seconds}) + "\n", encoding="utf-8")
    log(f"{selector}: ranked {len(ranking.rows):,} of {int(problem.valid.sum()):,} valid rows -> {path}")


def seconds_path(ranking: str) -> Path:
    """Where the seconds of a ranking lie: apart from it, so that its bytes do not depend on them."""
    return Path(ranking).with_suffix(".seconds.json")


def select_budget(config: Experiment, selector: str, selection_seed: int, budget_label: str) -> None:
    """Writes layout.selection(selector, selection_seed, budget_label), JSON lines, one a pick in rank order.

    Keys: messages (user, assistant), id, row, rank (from 0), score, margin, column, validation_id and task (of the example that asked for
    it; null where none did), top_tasks (the three tasks with the largest mean influence of the row), source. Raises `UserError` when
    the budget goes beyond the ranking.
    """
    layout = Layout(config.results, config.experiment, config.model.name)
    ranking = _read_ranking(layout.ranking(selector, selection_seed), selector)
    rows = len(ranking.rows)
    if selector != "full":
        rows = budget_rows(parse_budget(budget_label), int(np.count_nonzero(_valid_rows(layout, find_selector(selector).matrix))))
    if rows > len(ranking.rows):
        raise UserError(
            f"budget {budget_label} of {selector} is {rows} rows, but the ranking stops at {len(ranking.rows)}; "
            f"write a larger selection.rank_to than {config.selection.rank_to}"
        )
    chosen = ranking.rows[:rows]
    path = layout.selection(selector, selection_seed, budget_label)
    with atomic_path(path) as part, open(part, "w", encoding="utf-8") as file:
        for line in _lines(config, layout, ranking, chosen):
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    log(f"{selector}, budget {budget_label}: {rows:,} rows -> {path}")


def _problem(config: Experiment, layout: Layout, selector: str, seed: int) -> Problem:
    name = find_selector(selector).matrix
    valid = _valid_rows(layout, name)
    oracle = _oracle_ranks(layout.pool) if selector == "oracle" else None
    if name is None:
        return Problem(len(valid), valid, seed=seed, oracle=oracle)
    manifest = read_manifest(layout.matrix_manifest(name), MATRIX_KIND)
    path = layout.matrix(name)
    array = open_array(path)
    expected = (manifest["rows"], len(manifest["columns"]))
    if array.shape != expected or len(valid) != manifest["rows"]:
        raise UserError(f"{path}: has shape {array.shape}, its manifest says {expected}; run seal_attribution again")
    refuse_missing_chunks(path, array)
    tasks = tuple(column["task"] for column in manifest["columns"])
    ids = tuple(column["id"] for column in manifest["columns"])
    return Problem(len(valid), valid, Source(array, path, show_progress=True), tasks, ids, config.selection.normalisation, seed)


def _valid_rows(layout: Layout, matrix: str | None) -> np.ndarray:
    """bool [N]: the rows that may be chosen, the attribution matrix's valid ones for every selector; and valid in its own matrix."""
    names = dict.fromkeys(["influence", *([matrix] if matrix else [])])
    valid = []
    for name in names:
        read_manifest(layout.matrix_manifest(name), MATRIX_KIND)
        valid.append(read_valid(layout.matrix(name)))
    if len({len(rows) for rows in valid}) > 1:
        raise UserError(f"{layout.matrix_manifest(matrix)}: has other rows than the attribution matrix; run seal_attribution for both")
    return np.logical_and.reduce(valid)


def _oracle_ranks(pool: str) -> np.ndarray:
    """float64 [N]: metadata's `oracle_rank`, NaN where there is none."""
    import pyarrow.parquet as pq

    metadata = pq.read_table(pool, columns=["metadata"])["metadata"].to_pylist()
    ranks = [json.loads(text or "{}").get("oracle_rank") for text in metadata]
    return np.array([np.nan if rank is None else float(rank) for rank in ranks])


def _read_ranking(path: str, selector: str) -> Ranking:
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise UserError(f"{path}: missing; run rank --selector {selector}")
    table = pq.read_table(path)
    return Ranking(*(table[name].to_numpy() for name in ("row", "score", "column", "margin")))


def _lines(config: Experiment, layout: Layout, ranking: Ranking, chosen: np.ndarray) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = read_manifest(layout.matrix_manifest("influence"), MATRIX_KIND)
    columns = manifest["columns"]
    tasks = top_tasks(
        Source(open_array(layout.matrix("influence")), layout.matrix("influence")), chosen, [c["task"] for c in columns], TOP_TASKS
    )
    records = pq.read_table(layout.pool, columns=["id", "source", "prompt", "response"]).take(pa.array(chosen)).to_pylist()
    for at, (row, record) in enumerate(zip(chosen.tolist(), records, strict=True)):
        column = int(ranking.columns[at])
        asked = columns[column] if column != NO_COLUMN else {"id": None, "task": None}
        yield {
            "messages": [{"role": "user", "content": record["prompt"]}, {"role": "assistant", "content": record["response"]}],
            "id": record["id"],
            "row": row,
            "rank": at,
            "score": _number(ranking.scores[at]),
            "margin": _number(ranking.margins[at]),
            "column": column if column != NO_COLUMN else None,
            "validation_id": asked["id"],
            "task": asked["task"],
            "top_tasks": tasks[at],
            "source": record["source"],
        }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
