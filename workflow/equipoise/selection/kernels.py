"""Compiled inner loops of the selectors. They compare float64 values exactly as method.md, "Selectors", says; nothing is reassociated."""

import numpy as np

from equipoise.compiled import Loop

DONE, DEEPER = 0, 1


@Loop
def skip_taken(rows, length, taken, column, at):
    """First position from `at` on in a column's list whose row is not taken."""
    while at < length[column] and taken[rows[column, at]]:
        at += 1
    return at


@Loop
def smallest_tied_row(score, rows, next_group, length, bound, bound_row, below, taken, head, column, subtract, best):
    """Smallest remaining row of a column with fl(score - subtract) == best, from its list; -1 when the list does not reach far enough.

    Distinct scores can round to the same difference, so the walk goes down as long as they do. In a group of equal scores the
    first remaining row is the smallest.
    """
    smallest = np.int64(-1)
    at = head
    while at < length[column] and score[column, at] - subtract == best:
        row = rows[column, at]
        if taken[row]:
            at += 1
            continue
        if smallest < 0 or row < smallest:
            smallest = row
        at = next_group[column, at]
    if at < length[column] or bound[column] == -np.inf:
        return smallest
    if below[column] - subtract == best:
        return -1
    if bound[column] - subtract == best and (smallest < 0 or smallest > bound_row[column]):
        return -1
    return smallest


@Loop
def bids_steps(
    matrix, slot, mean, std, active, score, rows, next_group, length, bound, bound_row, below,
    taken, head, sums, level, pending, averaged, progress, stop, out_rows, out_scores, out_columns, out_margins,
):  # fmt: skip
    """Greedy steps of BIDS until `stop` rows are chosen (DONE) or some list must be deeper (DEEPER).

    matrix [R, V]: values of the rows that may be chosen, row i at slot[i] (an empty slot: at i itself). level float64 [V]: M, the sums of
    the chosen rows' normalised values (`sums`), or where `averaged` their means.
    head int64 [V]: first remaining position of every list. pending float64 [V]: the last chosen row's normalised values, whose
    step is finished when progress[1] is 0. progress int64 [2]: rows chosen, and whether the last step still lacks its margin.
    """
    columns = score.shape[0]
    top = np.empty(columns)
    for column in range(columns):
        at = head[column]
        top[column] = score[column, at] if at < length[column] else bound[column]
    while True:
        best = -np.inf
        for column in range(columns):
            if active[column]:
                best = max(best, top[column] - level[column])
        for column in range(columns):
            if active[column] and head[column] >= length[column] and bound[column] > -np.inf and top[column] - level[column] == best:
                return DEEPER
        count = progress[0]
        if progress[1]:
            out_margins[count - 1] = out_scores[count - 1] - best if best > -np.inf else np.nan
            for column in range(columns):
                if active[column]:
                    sums[column] += pending[column]
                    level[column] = sums[column] / count if averaged else sums[column]
            progress[1] = 0
            continue
        if count == stop:
            return DONE
        chosen = np.int64(-1)
        for column in range(columns):
            if active[column] and top[column] - level[column] == best:
                row = smallest_tied_row(
                    score, rows, next_group, length, bound, bound_row, below, taken, head[column], column, level[column], best
                )
                if row < 0:
                    return DEEPER
                if chosen < 0 or row < chosen:
                    chosen = row
        place = slot[chosen] if slot.shape[0] > 0 else chosen
        winner = -1
        for column in range(columns):
            if active[column]:
                pending[column] = (np.float64(matrix[place, column]) - mean[column]) / std[column]
                if winner < 0 and pending[column] - level[column] == best:
                    winner = column
        taken[chosen] = 1
        out_rows[count] = chosen
        out_scores[count] = best
        out_columns[count] = winner
        for column in range(columns):
            at = head[column]
            if at < length[column] and rows[column, at] == chosen:
                at = skip_taken(rows, length, taken, column, at)
                head[column] = at
                top[column] = score[column, at] if at < length[column] else bound[column]
        progress[0] = count + 1
        progress[1] = 1


@Loop
def turn_steps(turns, score, rows, length, bound, taken, head, progress, stop, out_rows, out_scores, out_columns, out_margins):
    """Round robin: in turn `turns[count % T]`'s column takes its best remaining row, until `stop` rows (DONE) or a list ends (DEEPER)."""
    while True:
        count = progress[0]
        if progress[1]:
            column = turns[(count - 1) % turns.shape[0]]
            at = skip_taken(rows, length, taken, column, head[column])
            head[column] = at
            if at < length[column]:
                out_margins[count - 1] = out_scores[count - 1] - score[column, at]
            elif bound[column] > -np.inf:
                return DEEPER
            else:
                out_margins[count - 1] = np.nan
            progress[1] = 0
        if count == stop:
            return DONE
        column = turns[count % turns.shape[0]]
        at = skip_taken(rows, length, taken, column, head[column])
        head[column] = at
        if at == length[column]:
            return DEEPER
        row = rows[column, at]
        taken[row] = 1
        out_rows[count] = row
        out_scores[count] = score[column, at]
        out_columns[count] = column
        progress[0] = count + 1
        progress[1] = 1


@Loop
def row_maxima(block, usable, mean, std, active, scores, columns):
    """Per usable row: the largest (value - mean) / std over active columns, float64, and the first column that has it."""
    for row in range(block.shape[0]):
        if usable[row]:
            best = -np.inf
            winner = -1
            for column in range(block.shape[1]):
                if active[column]:
                    value = (np.float64(block[row, column]) - mean[column]) / std[column]
                    if value > best:
                        best = value
                        winner = column
            scores[row] = best
            columns[row] = winner


@Loop
def task_sums(block, usable, group, sums):
    """Per usable row: sum over each task's columns in column order, float64 [n, tasks]. group int64 [V]: task of a column."""
    for row in range(block.shape[0]):
        if usable[row]:
            for task in range(sums.shape[1]):
                sums[row, task] = 0.0
            for column in range(block.shape[1]):
                sums[row, group[column]] += np.float64(block[row, column])


@Loop
def normalised_task_sums(block, usable, group, mean, std, active, sums):
    """Per usable row: sum of (value - mean) / std over each task's active columns in column order, float64 [n, tasks]."""
    for row in range(block.shape[0]):
        if usable[row]:
            for task in range(sums.shape[1]):
                sums[row, task] = 0.0
            for column in range(block.shape[1]):
                if active[column]:
                    sums[row, group[column]] += (np.float64(block[row, column]) - mean[column]) / std[column]


@Loop
def strongest_column(block, group, wanted, columns):
    """Per row: the first of the columns of task wanted[row] with the largest value."""
    for row in range(block.shape[0]):
        winner = -1
        for column in range(block.shape[1]):
            if group[column] == wanted[row] and (winner < 0 or block[row, column] > block[row, winner]):
                winner = column
        columns[row] = winner
