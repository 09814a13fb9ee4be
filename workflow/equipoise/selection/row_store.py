"""Keeps the rows a greedy selector may still choose in memory while the matrix streams past."""

import numpy as np

from equipoise.selection.source import Block
from equipoise.selection.top_lists import TopLists


class RowStore:
    """Values of the rows that are in top lists, at most `capacity` of them.

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
