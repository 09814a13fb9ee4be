"""S: how much a row serves each task, in standard deviations over the rows; what `bids_task` and `round_robin_floor` go by.

T_ik = mean of A_norm_ij over the columns j of task k that vary, S_ik = (T_ik - mean_k) / std_k over the valid rows. So a row that one
column alone asks for (a spike) scores low, and every task counts the same whatever its number of columns and their tails.
"""

import numpy as np

from equipoise.attribution.column_moments import Moments
from equipoise.selection.kernels import normalised_task_sums
from equipoise.selection.problem import Problem
from equipoise.selection.score_rows import on_rows
from equipoise.selection.source import Source
from equipoise.selection.top_lists import MomentScan


def task_scores(problem: Problem, source: Source, moments: Moments, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S float64 [N, tasks], tasks in order of first appearance, and bool [tasks], where it varies; 0 where it does not, NaN in other rows.

    source, moments, active: the normalised matrix as `normalised_source` and `informative` give it. Reads the matrix once.
    """
    names, group = problem.task_groups()
    scores = np.full((source.rows, len(names)), np.nan)
    usable = problem.usable
    for block in source.blocks():  # whose entries were found finite with the moments
        rows = slice(block.start, block.start + len(block.values))
        on_rows(lambda part, b=block.values, r=rows: normalised_task_sums(
            b[part], usable[r][part], group, moments.mean, moments.std, active, scores[r][part]), block)  # fmt: skip
    scores /= np.maximum(np.bincount(group[active], minlength=len(names)), 1)
    scan = MomentScan(len(names))
    scan.add(scores, usable)
    over_rows = scan.moments()
    varies = ~over_rows.constant
    scores -= over_rows.mean
    scores /= np.where(varies, over_rows.std, 1.0)
    scores[np.ix_(problem.valid, ~varies)] = 0.0
    return scores, varies


def task_means(scores: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """m_i = mean of S_ik over the tasks where it varies, float64 [N], added in the order of the tasks; 0 where it varies nowhere."""
    total = np.zeros(len(scores))
    for task in np.flatnonzero(varies):
        total += scores[:, task]
    return total / max(1, np.count_nonzero(varies))
