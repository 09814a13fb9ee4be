"""Any selector on any matrix: from Python (`select`), and from files (the command `equipoise select`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.budgets import Budget, budget_rows, parse_budget
from equipoise.errors import UserError
from equipoise.files import write_jsonl
from equipoise.progress import log, logged_warnings
from equipoise.seeds import LARGEST_SEED
from equipoise.selection.problem import Problem
from equipoise.selection.source import Source
from equipoise.selectors import selector as find_selector

PICK = ("rank", "row", "score", "column", "task")
"""Keys of a line that `equipoise select` writes."""


@dataclass(frozen=True)
class Selection:
    """The rows a selector chose, in rank order.

    rows int64 [B]; scores float64 [B], NaN where the selector scores nothing; columns int64 [B], the validation column that won
    the step, -1 where none did; margins float64 [B], how far the best other remaining row was behind (NaN: none or no score);
    tasks: the task of that column, None where there is none.
    """

    rows: np.ndarray
    scores: np.ndarray
    columns: np.ndarray
    margins: np.ndarray
    tasks: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.rows)


def select(
    matrix: Any,
    tasks: Sequence[str],
    selector: str = "bids",
    budget: Budget | str = 0.1,
    seed: int = 0,
    valid: Any = None,
    *,
    normalisation: str = "zscore",
    name: str = "matrix",
    show_progress: bool = False,
) -> Selection:
    """Selects pool rows by an N x V matrix of influence (or similarity) scores.

    matrix: float16, float32 or float64; numpy, zarr or anything else with a shape that can be sliced by rows. It is read block by
    block and never copied whole. Row i is a pool example, column j a validation example.
    tasks: V task names, the task of every column.
    selector: a name of `equipoise.selectors.selector_names()`.
    budget: a share in (0, 1] of the valid rows, or a count; `full` ignores it.
    seed: of `random`. valid: boolean [N], the rows that may be chosen; all by default. Other rows are never looked at.
    normalisation: `zscore` (the paper's) or `rank`, for `bids`, `bids_sum`, `bids_task`, `instance_max_normalized`
    and `round_robin_floor`.
    name: what errors call the matrix. show_progress: report passes over the matrix on standard error.

    The smaller budget's selection is a prefix of the larger one's. Equal scores go to the smaller row, then to the smaller column.
    Raises `UserError` (one line) for another shape or dtype, non-finite entries in valid rows, a wrong number of tasks, an empty
    or impossible budget, a selector that reads the pool, and, with z-scores, a single valid row or columns that are all constant.
    Source: BIDS (arXiv 2501.12147), sections 4 and A.3; LESS (arXiv 2402.04333) for `task_max`.
    """
    problem = make_problem(Source(matrix, name, show_progress), tasks, valid, seed, normalisation)
    chosen = find_selector(selector)
    if read := [*chosen.pool, *(["states"] if chosen.states else [])]:
        raise UserError(f"selector {selector}: reads {' and '.join(read)} of a pool, and a matrix alone has none; write another selector")
    rows = budget_rows(parse_budget(budget), int(np.count_nonzero(problem.valid)))
    ranking = chosen.load()(problem, rows)
    named = tuple(problem.tasks[column] if column >= 0 else None for column in ranking.columns.tolist())
    return Selection(ranking.rows, ranking.scores, ranking.columns, ranking.margins, named)


def make_problem(source: Source, tasks: Sequence[str], valid: Any, seed: int, normalisation: str) -> Problem:
    """Checks what `select` was given; raises `UserError` as it does."""
    from equipoise.selection.normalise import NORMALISATIONS

    if isinstance(tasks, str) or len(tasks) != source.columns:
        count = "one text" if isinstance(tasks, str) else f"{len(tasks)} names"
        raise UserError(f"tasks: {count} for {source.columns} columns of {source.name}; write one task name per column")
    for column, task in enumerate(tasks):
        if not isinstance(task, str) or not task:
            raise UserError(f'tasks: the name of column {column} is {task!r}; write a text such as "gsm"')
    if normalisation not in NORMALISATIONS:
        raise UserError(f"normalisation {normalisation!r}: write one of {', '.join(NORMALISATIONS)}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"seed {seed!r}: write a whole number from 0 to {LARGEST_SEED}")
    return Problem(source.rows, _valid_rows(valid, source.rows, source.name), source, tuple(tasks), (), normalisation, int(seed))


def _valid_rows(valid: Any, rows: int, name: str) -> np.ndarray:
    if valid is None:
        return np.ones(rows, bool)
    valid = np.asarray(valid)
    if valid.dtype != bool or valid.shape != (rows,):
        raise UserError(f"valid: {valid.dtype} of shape {valid.shape}; write {rows} booleans, one per row of {name}")
    if not valid.any():
        raise UserError(f"valid: no row of {name} may be chosen; mark at least one as true")
    return np.ascontiguousarray(valid)


def write_picks(
    matrix: str,
    tasks: str,
    selector: str,
    budget: str,
    seed: int,
    valid: str | None,
    normalisation: str,
    output: str,
    header: bool | None = None,
) -> None:
    """Selects from the matrix file and writes JSON lines {"rank", "row", "score", "column", "task"}, rank from 0; null where there is none.

    matrix, tasks, valid: files (`matrix_file`); header: of a .csv. Raises `UserError` as `select` does, and for files that cannot be read.
    """
    from equipoise.attribution.matrix_file import open_matrix, read_mask, read_tasks

    find_selector(selector)
    share = parse_budget(budget)
    names = read_tasks(tasks)
    opened = open_matrix(matrix, header)
    mask = opened.valid
    if valid is not None:
        mask = read_mask(valid)
    elif mask is not None:
        log(f"{matrix}: rows marked in valid.zarr beside it are used")
    with logged_warnings():
        selection = select(opened.values, names, selector, share, seed, mask, normalisation=normalisation, name=matrix, show_progress=True)
    scores = [score if np.isfinite(score) else None for score in selection.scores.tolist()]
    columns = [column if column >= 0 else None for column in selection.columns.tolist()]
    picks = zip(range(len(selection)), selection.rows.tolist(), scores, columns, selection.tasks, strict=True)
    write_jsonl(output, (dict(zip(PICK, pick, strict=True)) for pick in picks))
    log(f"{selector}: {len(selection):,} rows -> {output}")
