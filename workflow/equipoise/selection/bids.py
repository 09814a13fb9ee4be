"""The greedy selectors: repeat argmax_i max_j (Z_ij - M_j), M_j what column j has from the rows chosen so far (method.md, "Selectors").

| selector | Z | M_j |
|---|---|---|
| `bids` | A_norm | mean of Z_ij over the chosen rows |
| `bids_sum` | A_norm | their sum: a column that has received little is served before one that has received much, however long its tail |
| `bids_task` | S, one column a task (`task_scores`) | mean |

M does not depend on the row, so the best row of a column is its largest remaining entry: a step needs the head of every column's top
list and nothing else. (Rounding is monotonic: the largest fl(Z_ij - M_j) of a column is that of its largest Z_ij.) For the same reason a
smaller budget is a prefix of a larger one: a step depends on the rows chosen before it alone, never on how many are wanted. One pass
collects the lists together with the column moments; when a list runs out, another pass over the remaining rows makes deeper ones. Steps,
ties and scores are those of the naive greedy, bit by bit.
"""

from dataclasses import replace

import numpy as np

from equipoise.attribution.column_moments import Moments
from equipoise.layout import CHUNK_ROWS
from equipoise.selection.kernels import DEEPER, bids_steps
from equipoise.selection.normalise import informative, normalised_source
from equipoise.selection.problem import NO_COLUMN, Problem, Ranking, ranked_by_score
from equipoise.selection.score_rows import name_strongest_columns, scan_moments_of
from equipoise.selection.source import Block, Source
from equipoise.selection.task_scores import task_scores
from equipoise.selection.top_lists import MomentScan, TopLists, order_lists, refuse_non_finite

PIECE_ROWS = 8 * CHUNK_ROWS
LIST_STEPS = 8  # entries a list starts with, in mean picks per column: correlated columns use up about three
LIST_LEAST = 256
LIST_SHARE = 16  # lists of a matrix in memory start with at most 1/16 of its size, buffers included
STREAM_BYTES = 96 * 2**20  # lists of a matrix that streams
STORE_BYTES = 448 * 2**20  # rows kept of a matrix that streams


def bids(problem: Problem, rows: int) -> Ranking:
    """The first `rows` rows of the greedy order.

    scores: the winning A_norm_ij - M_j. Raises `UserError` when no column varies over the valid rows or an entry is not finite.
    """
    with normalised_source(problem) as (source, known):
        return _Greedy(problem, source, rows).run(known)


def bids_sum(problem: Problem, rows: int) -> Ranking:
    """As `bids`, M_j the sum of A_norm_ij over the chosen rows instead of their mean."""
    with normalised_source(problem) as (source, known):
        return _Greedy(problem, source, rows, averaged=False).run(known)


def bids_task(problem: Problem, rows: int) -> Ranking:
    """`bids` on S, a column a task; a task whose S is the same for all rows is left out, with a warning.

    scores: the winning S_ik - M_k; columns: of the task that won, the first column of largest A_ij. Where all tasks are left out, the
    rows in the pool's order. Raises as `bids`.
    """
    with normalised_source(problem) as (source, known):
        moments = known or scan_moments_of(problem).moments()
        scores, varies = task_scores(problem, source, moments, informative(problem, moments))
    if not varies.any():
        return ranked_by_score(np.zeros(problem.rows), np.full(problem.rows, NO_COLUMN), problem.valid, rows)
    names, group = problem.task_groups()
    tasks = replace(problem, source=Source(scores, problem.source.name), tasks=tuple(names), columns=())
    neutral = Moments(moments.count, np.zeros(len(names)), varies.astype(np.float64))
    return name_strongest_columns(_Greedy(tasks, tasks.source, rows).run(neutral), problem, group)


class RowStore:
    """Values of the rows that a greedy selector may still choose while the matrix streams past: those in top lists, at most `capacity`.

    values float32/float64 [capacity, V]; slot int32 [N]: where a row lies, -1 for rows that are not kept.
    """

    def __init__(self, rows: int, columns: int, dtype: np.dtype, capacity: int):
        capacity = min(rows, max(capacity, 4 * columns))
        self.values = np.empty((capacity, columns), dtype)
        self.slot = np.full(rows, -1, np.int32)
        self._row = np.empty(capacity, np.int64)
        self._used = 0

    def add(self, block: Block, hit: np.ndarray, lists: TopLists) -> None:
        """Keeps the block's rows marked in `hit` (uint8 [n]); makes room by shortening `lists` when the store is full."""
        new = np.flatnonzero(hit)
        if self._used + len(new) > len(self._row):
            members = self._make_room(lists)
            new = np.intersect1d(new, members[members >= block.start] - block.start, assume_unique=True)
        stop = self._used + len(new)
        self.values[self._used : stop] = block.values[new]
        self._row[self._used : stop] = new + block.start
        self.slot[new + block.start] = np.arange(self._used, stop)
        self._used = stop

    def _make_room(self, lists: TopLists) -> np.ndarray:
        """Drops rows that are in no list, with shorter lists until half the store is free; returns the rows that are in one."""
        everything = (0, len(lists.length))
        lists.cut(everything, lists.depth)
        members = lists.members()
        while len(members) > len(self._row) // 2:
            lists.depth = max(1, lists.depth * 5 // 8)
            lists.cut(everything, lists.depth)
            members = lists.members()
        stored = self._row[: self._used]
        kept = np.flatnonzero(np.isin(stored, members, assume_unique=True))
        self.slot[stored] = -1
        self._used = len(kept)
        self._row[: self._used] = stored[kept]
        for at, source in enumerate(kept):  # kept ascends, so that no row is overwritten before it has moved
            self.values[at] = self.values[source]
        self.slot[self._row[: self._used]] = np.arange(self._used)
        return members


class _Greedy:
    """State of one ranking: outcome so far, taken rows, column sums and M."""

    def __init__(self, problem: Problem, source: Source, rows: int, averaged: bool = True):
        """averaged: whether M is a mean or a sum."""
        self.problem, self.source, self.stop, self.averaged = problem, source, rows, averaged
        columns = source.columns
        self.taken = np.zeros(source.rows, np.uint8)
        self.sums, self.level, self.pending = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self.progress = np.zeros(2, np.int64)
        self.result = Ranking(np.empty(rows, np.int64), np.empty(rows), np.empty(rows, np.int64), np.empty(rows))

    def run(self, known: Moments | None) -> Ranking:
        """known: moments, where the normalisation has fixed them."""
        source, usable = self.source, self.problem.usable
        depth = first_depth(source, self.stop)
        lists, store, scanned = collect(source, usable, depth, moments=known is None, keep_rows=True)
        moments = known or scanned
        active = informative(self.problem, moments)
        store_bytes, chosen = STORE_BYTES, 0
        while self._steps(lists, store, moments, active) == DEEPER:
            depth *= 4
            if self.progress[0] == chosen:  # a full row store cut the lists short again: without more room this would not end
                store_bytes *= 2
            chosen = self.progress[0]
            remaining = usable & (self.taken ^ 1)
            lists, store, _ = collect(source, remaining, depth, moments=False, keep_rows=True, store_bytes=store_bytes)
        return self.result

    def _steps(self, lists: TopLists, store: RowStore | None, moments: Moments, active: np.ndarray) -> int:
        ordered = order_lists(lists, moments.mean, moments.std, active)
        if store is None:
            values, slot = self.source.direct, np.empty(0, np.int32)
        else:
            values, slot = store.values, store.slot
        out = self.result
        return bids_steps(
            values, slot, moments.mean, moments.std, active,
            ordered.score, ordered.rows, ordered.next_group, ordered.length, ordered.bound, ordered.bound_row, ordered.below,
            self.taken, np.zeros(len(active), np.int64), self.sums, self.level, self.pending, self.averaged, self.progress, self.stop,
            out.rows, out.scores, out.columns, out.margins,
        )  # fmt: skip


def first_depth(source: Source, rows: int) -> int:
    """Entries a list starts with: what most selections need, never more than one can need, and no more than memory allows."""
    entry = source.dtype.itemsize + 4
    budget = STREAM_BYTES if source.direct is None else source.nbytes // LIST_SHARE
    affordable = int(budget / (2 * entry * source.columns))
    return max(16, min(max(LIST_LEAST, LIST_STEPS * rows // source.columns), rows + 1, affordable))


def collect(
    source: Source, usable: np.ndarray, depth: int, moments: bool, keep_rows: bool, store_bytes: int | None = None
) -> tuple[TopLists, RowStore | None, Moments | None]:
    """One pass: top lists of the usable rows (uint8 [N]), the store of their rows where the matrix streams, and the moments."""
    lists = TopLists(source.columns, depth, source.rows, source.dtype)
    lists.start_from_sample(source, usable)
    store = None
    if keep_rows and source.direct is None:
        capacity = (store_bytes or STORE_BYTES) // (source.columns * source.dtype.itemsize)
        store = RowStore(source.rows, source.columns, source.dtype, capacity)
    scan = MomentScan(source.columns) if moments else None
    for block in source.blocks():
        use = usable[block.start : block.start + len(block.values)]
        hit = np.zeros(len(use) if store is not None else 0, np.uint8)
        # in pieces that are still in cache when the lists read what the moments have read
        for start in range(0, len(use), PIECE_ROWS):
            piece = slice(start, start + PIECE_ROWS)
            if scan is not None and not scan.add(block.values[piece], use[piece]):
                refuse_non_finite(block, use, source)
            lists.add(block.values[piece], use[piece], block.start + start, hit[piece])
        if store is not None:
            store.add(block, hit, lists)
    return lists, store, scan.moments() if scan else None
