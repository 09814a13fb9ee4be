"""`task_quota`: tasks in turn, each takes its best remaining row by the mean of A over its columns."""

import numpy as np

from equipoise.selection.problem import Problem, Ranking
from equipoise.selection.score_rows import means_by_task
from equipoise.selection.source import Source
from equipoise.selection.strongest import name_strongest_columns
from equipoise.selection.turns import take_turns


def rank(problem: Problem, rows: int) -> Ranking:
    """The first `rows` rows taken; scores task means, columns the task's first column of largest A_ij."""
    names, group = problem.task_groups()
    means = means_by_task(problem.source, problem.usable, group, len(names))
    ranking = take_turns(Source(means, problem.source.name), problem.usable, np.arange(len(names)), rows)
    return name_strongest_columns(ranking, problem, group)
