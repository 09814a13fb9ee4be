"""Selectors in which columns take rows in turn: `round_robin`, `rds_plus`, `task_quota`."""

import numpy as np

from equipoise.selection.bids import collect
from equipoise.selection.kernels import DEEPER, turn_steps
from equipoise.selection.problem import Problem, Ranking
from equipoise.selection.score_rows import means_by_task, name_strongest_columns
from equipoise.selection.source import Source
from equipoise.selection.top_lists import order_lists


def round_robin(problem: Problem, rows: int) -> Ranking:
    """Validation examples in turn, tasks interleaved; `rds_plus` on cosines of states.

    The first `rows` rows taken; scores A_ij, columns the one whose turn it was."""
    _, group = problem.task_groups()
    return take_turns(problem.source, problem.usable, interleaved(group), rows)


def task_quota(problem: Problem, rows: int) -> Ranking:
    """Tasks in turn, each takes its best remaining row by the mean of A over its columns.

    The first `rows` rows taken; scores task means, columns the task's first column of largest A_ij."""
    names, group = problem.task_groups()
    means = means_by_task(problem.source, problem.usable, group, len(names))
    ranking = take_turns(Source(means, problem.source.name), problem.usable, np.arange(len(names)), rows)
    return name_strongest_columns(ranking, problem, group)


def take_turns(source: Source, usable: np.ndarray, turns: np.ndarray, rows: int) -> Ranking:
    """In the order `turns` (int64 column numbers, repeated without end) each column takes its largest remaining entry's row.

    usable: uint8 [N]. Ties go to the smaller row. scores: the entry; margins: to the column's next remaining entry.
    """
    columns = source.columns
    neutral = np.zeros(columns), np.ones(columns), np.ones(columns, bool)
    taken = np.zeros(source.rows, np.uint8)
    progress = np.zeros(2, np.int64)
    result = Ranking(np.empty(rows, np.int64), np.empty(rows), np.empty(rows, np.int64), np.empty(rows))
    depth = first_depth(source, rows)
    while True:
        lists, _, _ = collect(source, usable & (taken ^ 1), depth, moments=False, keep_rows=False)
        ordered = order_lists(lists, *neutral)
        status = turn_steps(
            turns, ordered.score, ordered.rows, ordered.length, ordered.bound, taken, np.zeros(columns, np.int64), progress, rows,
            result.rows, result.scores, result.columns, result.margins,
        )  # fmt: skip
        if status != DEEPER:
            return result
        depth = min(source.rows, 2 * depth)


def first_depth(source: Source, rows: int) -> int:
    """Entries a list starts with: a few times a column's share of the rows, for what other columns take from its top."""
    return min(source.rows, 4 * rows // source.columns + 64)


def interleaved(group: np.ndarray) -> np.ndarray:
    """Column order that interleaves the tasks: the first column of every task, then every second one, and so on.

    group: int64 [V], number of a column's task, tasks numbered by first appearance.
    """
    turn = np.empty(len(group), np.int64)
    seen: dict[int, int] = {}
    for column, task in enumerate(group.tolist()):
        turn[column] = seen.get(task, 0)
        seen[task] = turn[column] + 1
    return np.lexsort((group, turn))
