"""The selectors written as the method states them: row by row, float64, no shortcuts. The reference of the property tests.

A new selector has its form in `NAIVE` here (docs/extending.md): it says which rows are chosen, and what else it knows of them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from equipoise.selection.top_lists import MomentScan


@dataclass(frozen=True)
class Case:
    """matrix [N, V], tasks [V], valid bool [N], rows to choose, and what else a `Problem` holds; pool: all its columns."""

    matrix: np.ndarray
    tasks: list[str]
    valid: np.ndarray
    rows: int
    normalisation: str = "zscore"
    seed: int = 0
    pool: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """Rows in the order of choice; scores, columns and margins where the form knows them."""

    rows: list[int]
    scores: list[float] | None = None
    columns: list[int] | None = None
    margins: list[float] | None = None


def normalised(matrix, valid, normalisation):
    """A_norm float64 [N, V] and bool [V], the columns that vary."""
    A = np.asarray(matrix).astype(np.float32 if matrix.dtype == np.float16 else matrix.dtype)
    out = np.full(A.shape, np.nan)
    if normalisation == "zscore":
        scan = MomentScan(A.shape[1])
        scan.add(np.ascontiguousarray(A), np.asarray(valid, bool).view(np.uint8))
        moments = scan.moments()
        active = moments.std > 0
        wide = A.astype(np.float64)
        out[:, active] = (wide[:, active] - moments.mean[active]) / moments.std[active]
        return out, active
    active = np.zeros(A.shape[1], bool)
    for j in range(A.shape[1]):
        column = A[valid, j]
        smaller = (column[None, :] < column[:, None]).sum(axis=1)
        equal = (column[None, :] == column[:, None]).sum(axis=1)
        out[valid, j] = (smaller + (equal + 1) / 2) / len(column)
        active[j] = len(np.unique(column)) > 1
    return out, active


def bids(matrix, valid, rows, normalisation="zscore", averaged=True):
    z, active = normalised(matrix, valid, normalisation)
    return greedy(z, active, valid, rows, averaged)


def greedy(z, active, valid, rows, averaged=True):
    columns = np.flatnonzero(active)
    z = z[:, columns]
    remaining = valid.copy()
    sums = np.zeros(len(columns))
    level = np.zeros(len(columns))
    picks, scores, winners, margins = [], [], [], []
    for count in range(1, rows + 1):
        gain = np.where(remaining[:, None], z - level, -np.inf)
        per_row = gain.max(axis=1)
        i = int(per_row.argmax())
        j = int(gain[i].argmax())
        others = np.delete(per_row, i)
        picks.append(i)
        scores.append(gain[i, j])
        winners.append(int(columns[j]))
        margins.append(gain[i, j] - others.max() if len(others) and others.max() > -np.inf else np.nan)
        remaining[i] = False
        sums += z[i]
        level = sums / count if averaged else sums
    return picks, scores, winners, margins


def by_score(scores, valid, rows):
    order = sorted(np.flatnonzero(valid).tolist(), key=lambda i: (-scores[i], i))
    return order[:rows]


def instance_max(matrix, valid, rows):
    A = matrix.astype(np.float64)
    return by_score(A.max(axis=1), valid, rows), A.argmax(axis=1)


def instance_max_normalized(matrix, valid, rows, normalisation="zscore"):
    z, active = normalised(matrix, valid, normalisation)
    z = np.where(active, z, -np.inf)
    return by_score(z.max(axis=1), valid, rows), z.argmax(axis=1)


def column_order_sum(matrix, columns):
    total = np.zeros(len(matrix))
    for j in columns:
        total = total + matrix[:, j].astype(np.float64)
    return total


def task_columns(tasks):
    names = list(dict.fromkeys(tasks))
    return [[j for j, task in enumerate(tasks) if task == name] for name in names]


def task_means(matrix, tasks):
    return np.stack([column_order_sum(matrix, columns) / len(columns) for columns in task_columns(tasks)], axis=1)


def turns(scores, order, valid, rows):
    remaining = valid.copy()
    picks, takers = [], []
    while len(picks) < rows:
        for j in order:
            if len(picks) == rows:
                break
            values = np.where(remaining, scores[:, j], -np.inf)
            i = int(values.argmax())
            picks.append(i)
            takers.append(j)
            remaining[i] = False
    return picks, takers


def task_scores(case):
    """S [N, tasks], which tasks have one, and which columns vary."""
    z, active = normalised(case.matrix, case.valid, case.normalisation)
    means = np.full((len(z), len(task_columns(case.tasks))), np.nan)
    for task, columns in enumerate(task_columns(case.tasks)):
        varying = [j for j in columns if active[j]]
        means[case.valid, task] = column_order_sum(z[case.valid], varying) / max(1, len(varying))
    scores, varies = normalised(means, case.valid, "zscore")
    return scores, varies, active


def interleaved(tasks):
    groups = task_columns(tasks)
    return [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]


def _bids(case: Case) -> Expected:
    return Expected(*bids(case.matrix, case.valid, case.rows, case.normalisation))


def _bids_sum(case: Case) -> Expected:
    return Expected(*bids(case.matrix, case.valid, case.rows, case.normalisation, averaged=False))


def _bids_task(case: Case) -> Expected:
    scores, varies, _ = task_scores(case)
    if not varies.any():
        return Expected(np.flatnonzero(case.valid)[: case.rows].tolist())
    picks, gains, tasks, margins = greedy(scores, varies, case.valid, case.rows)
    return Expected(picks, gains, [_strongest(case, row, task) for row, task in zip(picks, tasks, strict=True)], margins)


def _instance_max(case: Case) -> Expected:
    picks, winners = instance_max(case.matrix, case.valid, case.rows)
    return Expected(picks, columns=winners[picks].tolist())


def _instance_max_normalized(case: Case) -> Expected:
    picks, winners = instance_max_normalized(case.matrix, case.valid, case.rows, case.normalisation)
    return Expected(picks, columns=winners[picks].tolist())


def _sum(case: Case) -> Expected:
    sums = column_order_sum(case.matrix, range(case.matrix.shape[1]))
    picks = by_score(sums, case.valid, case.rows)
    return Expected(picks, sums[picks].tolist(), [-1] * len(picks))


def _task_max(case: Case) -> Expected:
    means = task_means(case.matrix, case.tasks)
    picks = by_score(means.max(axis=1), case.valid, case.rows)
    return Expected(picks, columns=[_strongest(case, row, int(means[row].argmax())) for row in picks])


def _round_robin(case: Case) -> Expected:
    picks, takers = turns(case.matrix.astype(np.float64), interleaved(case.tasks), case.valid, case.rows)
    return Expected(picks, columns=takers)


def _round_robin_floor(case: Case) -> Expected:
    scores, varies, active = task_scores(case)
    floor = column_order_sum(scores, np.flatnonzero(varies)) / max(1, varies.sum())
    above = case.valid & (floor > 0)
    matrix, order = case.matrix.astype(np.float64), [j for j in interleaved(case.tasks) if active[j]]
    first = min(case.rows, int(above.sum()))
    picks, takers = turns(matrix, order, above, first)
    further = turns(matrix, order[first % len(order) :] + order[: first % len(order)], case.valid & ~above, case.rows - first)
    picks, takers = picks + further[0], takers + further[1]
    return Expected(picks, [matrix[row, column] for row, column in zip(picks, takers, strict=True)], takers)


def _task_quota(case: Case) -> Expected:
    means = task_means(case.matrix, case.tasks)
    picks, takers = turns(means, range(means.shape[1]), case.valid, case.rows)
    return Expected(picks, columns=[_strongest(case, row, task) for row, task in zip(picks, takers, strict=True)])


def _strongest(case: Case, row: int, task: int) -> int:
    """The first of a task's columns in which a row is largest."""
    columns = task_columns(case.tasks)[task]
    return columns[int(case.matrix[row, columns].argmax())]


def _random(case: Case) -> Expected:
    draws = np.random.PCG64(case.seed).random_raw(len(case.valid)).tolist()
    return Expected(by_score([-draw for draw in draws], case.valid, case.rows))


def _full(case: Case) -> Expected:
    return Expected(np.flatnonzero(case.valid).tolist())


def _oracle(case: Case) -> Expected:
    ranks = [json.loads(text).get("oracle_rank", len(case.valid)) for text in case.pool["metadata"]]
    return Expected(by_score([-rank for rank in ranks], case.valid, case.rows))


def _of(name: str, case: Case) -> np.ndarray:
    return case.pool[name].astype(np.float64)


def _longest(case: Case) -> Expected:
    return Expected(by_score(_of("completion_tokens", case), case.valid, case.rows))


def _gradient_norm(case: Case) -> Expected:
    return Expected(by_score([sum(norms) / len(norms) for norms in _of("norms", case).tolist()], case.valid, case.rows))


def _perplexity(case: Case) -> Expected:
    ordered = sorted(np.flatnonzero(case.valid).tolist(), key=lambda row: (case.pool["base_loss"][row], row))
    middle = (len(ordered) - 1) / 2
    return Expected(sorted(ordered, key=lambda row: (abs(ordered.index(row) - middle), row))[: case.rows])


def _ifd(case: Case) -> Expected:
    ratio = (_of("base_loss", case) / _of("base_loss_alone", case)).tolist()
    below = [row for row in by_score(ratio, case.valid, len(ratio)) if ratio[row] < 1]
    above = [row for row in by_score([-value for value in ratio], case.valid, len(ratio)) if ratio[row] >= 1]
    return Expected([*below, *above][: case.rows])


def _loss_drop(case: Case) -> Expected:
    base, losses = _of("base_loss", case), _of("losses", case)
    drops = {row: base[row] - losses[row, -1] for row in np.flatnonzero(case.valid).tolist()}
    share = {row: (base[row] - losses[row, 0]) / drop for row, drop in drops.items() if drop > 0}
    dropping = sorted(share, key=lambda row: (share[row], row))
    return Expected([*dropping, *(row for row in drops if row not in share)][: case.rows])


def _s2l(case: Case) -> Expected:
    rows = np.flatnonzero(case.valid).tolist()
    losses = {row: _of("losses", case)[row] for row in rows}
    ordered = sorted(rows, key=lambda row: (losses[row].mean(), row))
    count = min(100, len(rows))
    centres = [losses[ordered[k * len(rows) // count]].copy() for k in range(count)]
    groups: list[list[int]] = []
    while True:
        near = {row: min(range(count), key=lambda k: (((losses[row] - centres[k]) ** 2).sum(), k)) for row in rows}
        moved = [[row for row in rows if near[row] == k] for k in range(count)]
        if moved == groups:
            break
        groups = moved
        for k, group in enumerate(groups):
            if group:
                centres[k] = sum(losses[row] for row in group) / len(group)
    draws = np.random.PCG64(case.seed).random_raw(len(case.valid)).tolist()
    waiting = [sorted(group, key=draws.__getitem__) for group in groups]
    picks: list[int] = []
    while any(waiting):
        picks += [group.pop(0) for group in waiting if group]
    return Expected(picks[: case.rows])


def _states(case: Case) -> dict[int, np.ndarray]:
    return {row: _of("position_weighted", case)[row] for row in np.flatnonzero(case.valid).tolist()}


def _on_grid(one: np.ndarray, other: np.ndarray) -> int:
    """A cosine in whole numbers of 2^-32."""
    return round(float(one @ other) * 2**32)


def _kcenter(case: Case) -> Expected:
    states = _states(case)
    mean = sum(states.values()) / len(states)
    picks = [min(states, key=lambda row: (_on_grid(states[row], mean), row))]
    while len(picks) < case.rows:
        left = [row for row in states if row not in picks]
        picks.append(min(left, key=lambda row: (max(_on_grid(states[row], states[pick]) for pick in picks), row)))
    return Expected(picks)


def _facility_location(case: Case) -> Expected:
    states = _states(case)
    picks: list[int] = []

    def worth(rows: list[int]) -> float:
        return sum(2**32 + max(_on_grid(states[row], states[pick]) for pick in rows) for row in states)

    while len(picks) < case.rows:
        left = [row for row in states if row not in picks]
        picks.append(min(left, key=lambda row: (-worth([*picks, row]), row)))
    return Expected(picks)


NAIVE: dict[str, Callable[[Case], Expected]] = {
    "baselines:gradient_norm": _gradient_norm,
    "baselines:ifd": _ifd,
    "baselines:longest": _longest,
    "baselines:loss_drop": _loss_drop,
    "baselines:perplexity": _perplexity,
    "baselines:s2l": _s2l,
    "bids:bids": _bids,
    "bids:bids_sum": _bids_sum,
    "bids:bids_task": _bids_task,
    "coverage:facility_location": _facility_location,
    "coverage:kcenter": _kcenter,
    "top_scores:instance_max": _instance_max,
    "top_scores:instance_max_normalized": _instance_max_normalized,
    "top_scores:sum_": _sum,
    "top_scores:task_max": _task_max,
    "turns:round_robin": _round_robin,
    "turns:round_robin_floor": _round_robin_floor,
    "turns:task_quota": _task_quota,
    "without_matrix:full": _full,
    "without_matrix:oracle": _oracle,
    "without_matrix:random": _random,
}
"""By implementation, as the selector's entry names it."""
NORMALISING = {"bids:bids", "bids:bids_sum", "bids:bids_task", "top_scores:instance_max_normalized", "turns:round_robin_floor"}
"""Those that `selection.normalisation` is for, and that refuse a matrix without a column that varies."""
