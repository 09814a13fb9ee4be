"""`task_max` (LESS): s_i = max over tasks of the mean of A_ij over the task's columns, largest first."""

import numpy as np

from equipoise.selection.problem import Problem, Ranking, ranked_by_score
from equipoise.selection.score_rows import means_by_task
from equipoise.selection.strongest import name_strongest_columns


def rank(problem: Problem, rows: int) -> Ranking:
    """The `rows` rows of largest task mean; columns: within the first task that has it, the first column of largest A_ij."""
    names, group = problem.task_groups()
    means = means_by_task(problem.source, problem.usable, group, len(names))
    means[~problem.valid] = -np.inf
    task = means.argmax(axis=1)
    ranking = ranked_by_score(means.max(axis=1), task, problem.valid, rows)
    return name_strongest_columns(ranking, problem, group)
