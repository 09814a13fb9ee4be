"""Scores of the rows of a matrix that may stream: the largest entry, task means, and the columns and tasks that a row serves best."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from equipoise.selection.kernels import row_maxima, strongest_column, task_sums
from equipoise.selection.parallel import in_parallel, split
from equipoise.selection.problem import Problem, Ranking
from equipoise.selection.source import Block, Source
from equipoise.selection.top_lists import MomentScan, refuse_non_finite


def largest_entries(
    source: Source, usable: np.ndarray, mean: np.ndarray, std: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """max_j (A_ij - mean_j) / std_j over active columns, float64 [N], and the first column that has it, int64 [N]; usable rows only."""
    scores = np.full(source.rows, np.nan)
    columns = np.full(source.rows, -1, np.int64)
    for block, rows in _row_blocks(source, usable):
        on_rows(lambda part, b=block.values, r=rows: row_maxima(
            b[part], usable[r][part], mean, std, active, scores[r][part], columns[r][part]), block)  # fmt: skip
    return scores, columns


def sums_by_task(source: Source, usable: np.ndarray, group: np.ndarray, tasks: int) -> np.ndarray:
    """Sum of A_ij over each task's columns, float64 [N, tasks] (NaN in rows that are not usable). group: int64 [V], task of a column."""
    sums = np.full((source.rows, tasks), np.nan)
    for block, rows in _row_blocks(source, usable):
        on_rows(lambda part, b=block.values, r=rows: task_sums(b[part], usable[r][part], group, sums[r][part]), block)
    return sums


def means_by_task(source: Source, usable: np.ndarray, group: np.ndarray, tasks: int) -> np.ndarray:
    """`sums_by_task` divided by each task's number of columns."""
    means = sums_by_task(source, usable, group, tasks)
    means /= np.bincount(group, minlength=tasks)
    return means


def scan_moments_of(problem: Problem) -> MomentScan:
    """One pass for the column moments alone."""
    source, usable = problem.source, problem.usable
    scan = MomentScan(source.columns)
    for block in source.blocks():
        use = usable[block.start : block.start + len(block.values)]
        if not scan.add(block.values, use):
            refuse_non_finite(block, use, source)
    return scan


def name_strongest_columns(ranking: Ranking, problem: Problem, group: np.ndarray) -> Ranking:
    """The ranking with each task number in `columns` replaced by the task's first column of largest A_ij. group: int64 [V]."""
    wanted = np.full(problem.rows, -1, np.int64)
    wanted[ranking.rows] = ranking.columns
    strongest = np.full(problem.rows, -1, np.int64)
    for block in problem.source.blocks():
        rows = slice(block.start, block.start + len(block.values))
        strongest_column(block.values, group, wanted[rows], strongest[rows])
    return replace(ranking, columns=strongest[ranking.rows])


def top_tasks(source: Source, rows: np.ndarray, tasks: Sequence[str], count: int) -> list[list[str]]:
    """Per row of `rows` (int64 [B]) the `count` tasks of largest mean A_ij, largest first; none for flagged rows, which have no influence.

    tasks: the task of every column. Ties go to the task that appears first.
    """
    names = list(dict.fromkeys(tasks))
    group = np.array([names.index(task) for task in tasks], dtype=np.int64)
    means = np.empty((len(rows), len(names)))
    for part in source.parts(rows):
        sums = np.empty((len(part.places), len(names)))
        task_sums(part.values, np.ones(len(sums), np.uint8), group, sums)
        means[part.places] = sums / np.bincount(group)
    best = np.argsort(-means, axis=1, kind="stable")[:, :count]
    return [[names[task] for task in row] if np.isfinite(mean).all() else [] for row, mean in zip(best, means, strict=True)]


def _row_blocks(source: Source, usable: np.ndarray) -> Iterator[tuple[Block, slice]]:
    for block in source.blocks():
        rows = slice(block.start, block.start + len(block.values))
        if not np.isfinite(block.values.sum(axis=0, where=usable[rows].astype(bool)[:, None], dtype=np.float64)).all():
            refuse_non_finite(block, usable[rows], source)
        yield block, rows


def on_rows(work: Callable[[slice], None], block: Block) -> None:
    """Calls `work` on parts of a block's rows, in threads."""
    in_parallel(lambda bounds: work(slice(*bounds)), split(len(block.values)), block.values.nbytes)
