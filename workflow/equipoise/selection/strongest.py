"""For selectors in which a task asks for a row: the task's validation column that the row serves best."""

from dataclasses import replace

import numpy as np

from equipoise.selection.kernels import strongest_column
from equipoise.selection.problem import Problem, Ranking


def name_strongest_columns(ranking: Ranking, problem: Problem, group: np.ndarray) -> Ranking:
    """The ranking with each task number in `columns` replaced by the task's first column of largest A_ij. group: int64 [V]."""
    wanted = np.full(problem.rows, -1, np.int64)
    wanted[ranking.rows] = ranking.columns
    found = np.full(problem.rows, -1, np.int64)
    for block in problem.source.blocks():
        rows = slice(block.start, block.start + len(block.values))
        strongest_column(block.values, group, wanted[rows], found[rows])
    return replace(ranking, columns=found[ranking.rows])
