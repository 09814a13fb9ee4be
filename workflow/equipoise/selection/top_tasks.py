"""The tasks a row serves best: by the mean of its influence over a task's columns, as in the THI analysis."""

from collections.abc import Sequence

import numpy as np

from equipoise.selection.kernels import task_sums
from equipoise.selection.source import Source


def top_tasks(source: Source, rows: np.ndarray, tasks: Sequence[str], count: int) -> list[list[str]]:
    """Per row of `rows` (int64 [B]) the `count` tasks of largest mean A_ij, largest first; none for flagged rows, which have no influence.

    tasks: the task of every column. Ties go to the task that appears first.
    """
    names = list(dict.fromkeys(tasks))
    group = np.array([names.index(task) for task in tasks], dtype=np.int64)
    means = np.empty((len(rows), len(names)))
    order = np.argsort(rows, kind="stable")
    at = 0
    for block in source.blocks():
        end = at + int(np.searchsorted(rows[order[at:]], block.start + len(block.values)))
        part = np.ascontiguousarray(block.values[rows[order[at:end]] - block.start])
        sums = np.empty((len(part), len(names)))
        task_sums(part, np.ones(len(part), np.uint8), group, sums)
        means[order[at:end]] = sums / np.bincount(group)
        at = end
    best = np.argsort(-means, axis=1, kind="stable")[:, :count]
    return [[names[task] for task in row] if np.isfinite(mean).all() else [] for row, mean in zip(best, means, strict=True)]
