"""Selectors in which columns take rows in turn: `round_robin`, `round_robin_floor`, `rds_plus`, `task_quota` (method.md, "Selectors")."""

import warnings

import numpy as np

from equipoise.selection.bids import collect
from equipoise.selection.kernels import DEEPER, turn_steps
from equipoise.selection.normalise import informative, normalised_source
from equipoise.selection.problem import Problem, Ranking
from equipoise.selection.score_rows import means_by_task, name_strongest_columns
from equipoise.selection.source import Source
from equipoise.selection.task_scores import task_means, task_scores
from equipoise.selection.top_lists import TopLists, order_lists


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


def round_robin_floor(problem: Problem, rows: int) -> Ranking:
    """`round_robin` in which the rows below the floor, those with m_i <= 0, come last; columns that are constant have no turn.

    m_i: the mean over tasks of S_ik, how much row i serves task k in standard deviations over the rows (`task_scores`). Scores, columns and
    margins as `round_robin`, margins among the rows on the same side of the floor. Warns when rows below it are taken. Raises as `bids`.
    """
    source, usable = problem.source, problem.usable
    with normalised_source(problem) as (normal, known):
        # z-scores are of the matrix itself: one pass finds its moments and its columns' top lists
        lists, _, scanned = collect(source, usable, first_depth(source, rows), moments=known is None, keep_rows=False)
        moments = known or scanned
        active = informative(problem, moments)
        above = task_means(*task_scores(problem, normal, moments, active)) > 0  # not a number in a row that may not be chosen
    _, group = problem.task_groups()
    order = interleaved(group)
    turns = order[active[order]]
    enough = min(rows, int(np.count_nonzero(above)))
    first = take_turns(source, above.view(np.uint8), turns, enough, lists)
    if enough == rows:
        return first
    warnings.warn(
        f"round_robin_floor: {enough:,} rows lie above the floor and {rows:,} are ranked; the last {rows - enough:,} lie below it",
        stacklevel=2,
    )
    below = (problem.valid & ~above).view(np.uint8)
    return joined(first, take_turns(source, below, np.roll(turns, -enough), rows - enough))


def joined(first: Ranking, second: Ranking) -> Ranking:
    """One ranking after the other."""
    return Ranking(*(np.concatenate(parts) for parts in zip(vars(first).values(), vars(second).values(), strict=True)))


def take_turns(source: Source, usable: np.ndarray, turns: np.ndarray, rows: int, lists: TopLists | None = None) -> Ranking:
    """In the order `turns` (int64 column numbers, repeated without end) each column takes its largest remaining entry's row.

    usable: uint8 [N]. lists: top lists of these and other rows, where there are some. Ties go to the smaller row. scores: the entry;
    margins: to the column's next remaining entry.
    """
    columns = source.columns
    neutral = np.zeros(columns), np.ones(columns), np.ones(columns, bool)
    taken = usable ^ 1
    progress = np.zeros(2, np.int64)
    result = Ranking(np.empty(rows, np.int64), np.empty(rows), np.empty(rows, np.int64), np.empty(rows))
    depth = first_depth(source, rows)
    while True:
        if lists is None:
            lists, _, _ = collect(source, taken ^ 1, depth, moments=False, keep_rows=False)
        ordered = order_lists(lists, *neutral)
        status = turn_steps(
            turns, ordered.score, ordered.rows, ordered.length, ordered.bound, taken, np.zeros(columns, np.int64), progress, rows,
            result.rows, result.scores, result.columns, result.margins,
        )  # fmt: skip
        if status != DEEPER:
            return result
        lists, depth = None, min(source.rows, 2 * depth)


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
