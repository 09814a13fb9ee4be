"""Selectors that give every row one score and take the highest: `sum`, `task_max` (LESS), `instance_max` and `rds`,
`instance_max_normalized` (method.md, "Selectors")."""

import numpy as np

from equipoise.selection.normalise import informative, normalised_source
from equipoise.selection.problem import NO_COLUMN, Problem, Ranking, ranked_by_score
from equipoise.selection.score_rows import largest_entries, means_by_task, name_strongest_columns, scan_moments_of, sums_by_task


def sum_(problem: Problem, rows: int) -> Ranking:
    """s_i = sum_j A_ij in float64, added in column order.

    The `rows` rows of largest sum; no column wins."""
    everything = np.zeros(problem.source.columns, np.int64)
    scores = sums_by_task(problem.source, problem.usable, everything, 1)[:, 0]
    return ranked_by_score(scores, np.full(problem.rows, NO_COLUMN), problem.valid, rows)


def task_max(problem: Problem, rows: int) -> Ranking:
    """s_i = max over tasks of the mean of A_ij over the task's columns.

    The `rows` rows of largest task mean; columns: within the first task that has it, the first column of largest A_ij."""
    names, group = problem.task_groups()
    means = means_by_task(problem.source, problem.usable, group, len(names))
    means[~problem.valid] = -np.inf
    task = means.argmax(axis=1)
    ranking = ranked_by_score(means.max(axis=1), task, problem.valid, rows)
    return name_strongest_columns(ranking, problem, group)


def instance_max(problem: Problem, rows: int) -> Ranking:
    """s_i = max_j A_ij (the paper's Unnormalized; `rds` on cosines of states).

    The `rows` rows of largest entry; columns: the first column that has it."""
    columns = problem.source.columns
    identity = np.zeros(columns), np.ones(columns), np.ones(columns, bool)
    scores, winners = largest_entries(problem.source, problem.usable, *identity)
    return ranked_by_score(scores, winners, problem.valid, rows)


def instance_max_normalized(problem: Problem, rows: int) -> Ranking:
    """s_i = max_j A_norm_ij (the paper's Normalized).

    The `rows` rows of largest normalised entry; columns: the first column that has it. Raises like `bids`."""
    with normalised_source(problem) as (source, known):
        moments = known or scan_moments_of(problem).moments()
        active = informative(problem, moments)
        scores, winners = largest_entries(source, problem.usable, moments.mean, moments.std, active)
        return ranked_by_score(scores, winners, problem.valid, rows)
