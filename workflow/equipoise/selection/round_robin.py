"""`round_robin` and `rds_plus`: validation examples in turn, tasks interleaved; each takes its best remaining row of the matrix."""

from equipoise.selection.problem import Problem, Ranking
from equipoise.selection.turns import interleaved, take_turns


def rank(problem: Problem, rows: int) -> Ranking:
    """The first `rows` rows taken; scores A_ij, columns the one whose turn it was."""
    _, group = problem.task_groups()
    return take_turns(problem.source, problem.usable, interleaved(group), rows)
