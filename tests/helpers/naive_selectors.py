"""The selectors of method.md written as it states them: row by row, float64, no shortcuts. The reference of the property tests."""

import numpy as np

from equipoise.attribution.column_moments import column_moments


def normalised(matrix, valid, normalisation):
    """A_norm float64 [N, V] and bool [V], the columns that vary."""
    A = np.asarray(matrix).astype(np.float32 if matrix.dtype == np.float16 else matrix.dtype)
    out = np.full(A.shape, np.nan)
    if normalisation == "zscore":
        moments = column_moments(A, valid)
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


def bids(matrix, valid, rows, normalisation="zscore"):
    z, active = normalised(matrix, valid, normalisation)
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
        level = sums / count
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


def interleaved(tasks):
    groups = task_columns(tasks)
    return [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]
