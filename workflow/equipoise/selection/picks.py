"""The command `equipoise select`: a selection on somebody's own matrix, written as one line a pick."""

import json
import warnings
from typing import Any

import numpy as np

from equipoise.budgets import parse_budget
from equipoise.files import atomic_path
from equipoise.progress import log
from equipoise.selectors import selector as find_selector


def write_picks(matrix: str, tasks: str, selector: str, budget: str, seed: int, valid: str | None, normalisation: str, output: str) -> None:
    """Selects from the matrix file and writes JSON lines {"rank", "row", "score", "column", "task"}, rank from 0; null where there is none.

    matrix, tasks, valid: files (`matrix_file`). Raises `UserError` as `select` does, and for files that cannot be read.
    """
    find_selector(selector)
    share = parse_budget(budget)
    from equipoise.selection.interface import select
    from equipoise.selection.matrix_file import open_matrix, read_mask, read_tasks

    names = read_tasks(tasks)
    opened, mask = open_matrix(matrix)
    if valid is not None:
        mask = read_mask(valid)
    elif mask is not None:
        log(f"{matrix}: rows marked in valid.zarr beside it are used")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        selection = select(opened, names, selector, share, seed, mask, normalisation=normalisation, name=matrix, show_progress=True)
    for warning in caught:
        log(f"warning: {warning.message}")
    with atomic_path(output) as part, open(part, "w", encoding="utf-8") as file:
        for rank, pick in enumerate(zip(selection.rows, selection.scores, selection.columns, selection.tasks, strict=True)):
            file.write(json.dumps(_line(rank, *pick), ensure_ascii=False, allow_nan=False) + "\n")
    log(f"{selector}: {len(selection):,} rows -> {output}")


def _line(rank: int, row: np.int64, score: np.float64, column: np.int64, task: str | None) -> dict[str, Any]:
    return {
        "rank": rank,
        "row": int(row),
        "score": float(score) if np.isfinite(score) else None,
        "column": int(column) if column >= 0 else None,
        "task": task,
    }
