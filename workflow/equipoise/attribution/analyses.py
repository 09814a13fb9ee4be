"""What a matrix says about a set of pool rows: influence, task frequencies, balance, normality (method.md, "Analyses")."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from equipoise.errors import UserError


def aid(values: np.ndarray) -> np.ndarray:
    """Average influence distribution: mean of the rows of `values` [n, V], raw or normalised, float64 [V].

    Columns that are NaN throughout (no spread) stay NaN. Raises `UserError` for an empty set. Source: the paper's section 3.
    """
    _refuse_empty(values)
    average = Average()
    average.add(values)
    return average.mean()


class Average:
    """`aid` of rows that come in parts. Each row is added to those before it, so that other parts give the same bits (where V > 1)."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum: np.ndarray | None = None

    def add(self, values: np.ndarray) -> None:
        """Adds at least one row, [n, V]."""
        before = [] if self._sum is None else [self._sum[None]]
        self._sum = np.concatenate([*before, values]).sum(axis=0, dtype=np.float64)
        self._rows += len(values)

    def mean(self) -> np.ndarray:
        """Mean of all rows added, float64 [V]. Raises `UserError` where there are none."""
        _refuse_empty(np.empty((self._rows, 1)))
        return self._sum / self._rows


def thi_task_mean(values: np.ndarray, task_of: np.ndarray, tasks: int) -> np.ndarray:
    """Task frequency with highest influence: rows of `values` [n, V] by argmax_task of their mean over the task's columns, int64 [tasks].

    task_of: int64 [V], number of a column's task. Ties go to the smaller task number. Columns that are NaN throughout are left out.
    """
    kept, task_of = _with_spread(values, task_of)
    means = np.full((len(values), tasks), -np.inf)
    for task in np.unique(task_of):
        means[:, task] = kept[:, task_of == task].mean(axis=1, dtype=np.float64)
    return np.bincount(means.argmax(axis=1), minlength=tasks)


def thi_instance(values: np.ndarray, task_of: np.ndarray, tasks: int) -> np.ndarray:
    """Task frequency with highest influence: rows of `values` [n, V] by the task of argmax_j A_ij, int64 [tasks].

    task_of: int64 [V]. Ties go to the smaller column. Columns that are NaN throughout are left out.
    """
    kept, task_of = _with_spread(values, task_of)
    return np.bincount(task_of[kept.argmax(axis=1)], minlength=tasks)


def balance(counts: np.ndarray) -> float:
    """Balance of a selection as one number: the entropy of its THI shares divided by that of equal shares.

    With p_k = counts_k / sum(counts) over m tasks, -sum_k p_k ln p_k / ln m: 1 when every task is strongest for equally many rows, 0 when
    one task is for all. 1 for a single task. Raises `UserError` when there is nothing to count.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim != 1 or not len(counts) or not counts.sum() > 0 or (counts < 0).any():
        raise UserError(f"balance of {counts.tolist()}: write the counts of at least one row by task")
    if len(counts) == 1:
        return 1.0
    shares = counts[counts > 0] / counts.sum()
    return float(abs(-(shares * np.log(shares)).sum() / np.log(len(counts))))


@dataclass(frozen=True)
class Normality:
    """How near c z-scored columns are to N(0, 1).

    edges float64 [b + 1] and density [c, b]: histogram, integrating to the share of rows within the edges. expected [q] and
    observed [c, q]: quantiles of N(0, 1) and of the columns at the same levels (a Q-Q plot). skew and excess_kurtosis float64 [c]:
    both 0 for N(0, 1).
    """

    edges: np.ndarray
    density: np.ndarray
    expected: np.ndarray
    observed: np.ndarray
    skew: np.ndarray
    excess_kurtosis: np.ndarray


def normality(values: np.ndarray, edges: np.ndarray, quantiles: int = 99) -> Normality:
    """Compares z-scored columns, `values` [n, c], with N(0, 1). edges: ascending borders of the histogram.

    The levels of the quantiles are 1/(q+1) ... q/(q+1). Skew and kurtosis are the population forms, m3 / m2^1.5 and m4 / m2^2 - 3.
    Raises `UserError` for an empty set. Source: the paper's appendix A.4.
    """
    _refuse_empty(values)
    values = values.astype(np.float64)
    centred = values - values.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    levels = np.arange(1, quantiles + 1) / (quantiles + 1)
    counts = np.stack([np.histogram(column, edges)[0] for column in values.T])
    return Normality(
        edges=np.asarray(edges, dtype=np.float64),
        density=counts / (len(values) * np.diff(edges)),
        expected=np.array([NormalDist().inv_cdf(level) for level in levels]),
        observed=np.quantile(values, levels, axis=0).T,
        skew=(centred**3).mean(axis=0) / variance**1.5,
        excess_kurtosis=(centred**4).mean(axis=0) / variance**2 - 3,
    )


def _with_spread(values: np.ndarray, task_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the columns that are NaN throughout: normalising a constant column leaves nothing to compare."""
    _refuse_empty(values)
    empty = np.isnan(values[0])
    empty[empty] = np.isnan(values[:, empty]).all(axis=0)
    if not empty.any():
        return values, np.asarray(task_of)
    return values[:, ~empty], np.asarray(task_of)[~empty]


def _refuse_empty(values: np.ndarray) -> None:
    if values.ndim != 2 or 0 in values.shape:
        raise UserError(f"analysis of an empty set (shape {values.shape}); choose at least one row")
