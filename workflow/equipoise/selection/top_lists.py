"""The largest entries of every column of a matrix, collected in one pass that may stream.

A list holds, of its column, all usable entries above its threshold, in row order. What it does not hold is smaller than every value
it holds, or equal to its smallest and further down the column; so a greedy selector can work on lists alone and asks for deeper ones when
they run out (method.md, "Selectors").
"""

from dataclasses import dataclass

import numpy as np

from equipoise.attribution.column_moments import Moments, chunk_partials, finish_moments, merge_partials
from equipoise.compiled import Loop
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS
from equipoise.selection.parallel import in_parallel, split
from equipoise.selection.source import Block, Source

SAMPLED_ROWS = 8192
STRIP = 8  # columns looked at together


@Loop
def mark_strips(block, usable, first, last, threshold, strips):
    """Marks, in rows [first, last) of strips, uint8 [n, S], the strips of eight columns with an entry that reaches its threshold."""
    width = block.shape[1]
    # most entries stay below: comparisons of a row are made at once, and eight of them looked at as one word
    reaches = np.zeros(strips.shape[1] * STRIP, np.uint8)
    words = reaches.view(np.uint64)
    for row in range(first, last):
        if usable[row]:
            entries = block[row]
            for column in range(width):
                reaches[column] = entries[column] >= threshold[column]
            for strip in range(words.shape[0]):
                strips[row, strip] = words[strip] != 0
        else:
            strips[row] = 0


@Loop
def gather(block, strips, offset, step, first_row, first, last, threshold, values, rows, length, hit):
    """Appends the entries of strips [first, last) that reach their threshold, chunk by chunk from row `offset` on.

    Stops before a chunk for which some column might lack room; returns the row it stopped at, or the block's length.
    strips: of `mark_strips`, for these thresholds or lower ones. step: rows in a chunk. hit: uint8 [n], marks rows that were
    appended to some list; an empty array marks nothing.
    """
    size = block.shape[0]
    mark = hit.shape[0] > 0
    width = block.shape[1]
    while offset < size:
        end = min(offset + step, size)
        for column in range(first * STRIP, min(last * STRIP, width)):
            if length[column] + (end - offset) > values.shape[1]:
                return offset
        for row in range(offset, end):
            for strip in range(first, last):
                if strips[row, strip]:
                    for column in range(strip * STRIP, min((strip + 1) * STRIP, width)):
                        value = block[row, column]
                        if value >= threshold[column]:
                            at = length[column]
                            # + 0 turns -0.0 into 0.0: equal values must be equal however they are compared
                            values[column, at] = value + 0
                            rows[column, at] = first_row + row
                            length[column] = at + 1
                            if mark:
                                hit[row] = 1
        offset = end
    return size


@Loop
def partial_moments(block, usable, step, first, last, counts, mean, squares):
    """Partial moments of the block's chunks [first, last), `step` rows each: counts int64 [C], mean and squares float64 [C, V]."""
    for chunk in range(first, last):
        start = chunk * step
        end = min(start + step, block.shape[0])
        counts[chunk] = chunk_partials(block[start:end], usable[start:end], 0, block.shape[1], mean[chunk], squares[chunk])


class TopLists:
    """Growing lists of the largest entries of V columns.

    values float32/float64 and rows int32 [V, capacity], length int64 [V]; threshold [V]: entries below it are not in the list
    (-inf: the list is the whole column). After a cut to `depth` entries the threshold lies just above the smallest kept value.
    """

    def __init__(self, columns: int, depth: int, limit: int, dtype: np.dtype):
        """depth: entries a list is cut to when it overflows. limit: number of rows there are at most."""
        self.depth = max(1, min(depth, limit))
        capacity = min(limit, 2 * self.depth + CHUNK_ROWS)
        self.values = np.empty((columns, capacity), dtype)
        self.rows = np.empty((columns, capacity), np.int32)
        self.length = np.zeros(columns, np.int64)
        self.threshold = np.full(columns, -np.inf, dtype)

    def start_from_sample(self, source: Source, usable: np.ndarray) -> None:
        """Sets thresholds by a sample of the usable rows (uint8 [N]), so that few entries are collected only to be cut again.

        For a matrix in memory with many more rows than a list holds. Whatever the sample says, lists stay complete above their threshold.
        """
        candidates = np.flatnonzero(usable)
        wanted = 1.2 * self.depth / max(1, len(candidates))
        if source.direct is None or len(candidates) < 4 * SAMPLED_ROWS or wanted > 0.25:
            return
        sample = np.ascontiguousarray(source.direct[candidates[:: len(candidates) // SAMPLED_ROWS]].T)
        at = int(sample.shape[1] * (1 - wanted)) - 1
        border = np.partition(sample, at, axis=1)[:, at]
        self.threshold[:] = np.where(np.isfinite(border), border, -np.inf)

    def add(self, block: np.ndarray, usable: np.ndarray, first_row: int, hit: np.ndarray) -> None:
        """Collects from a block of rows that begins at `first_row`; threads share its rows to compare, its columns to append."""
        strips = np.empty((len(block), -(-block.shape[1] // STRIP)), np.uint8)

        def compare(part: tuple[int, int]) -> None:
            mark_strips(block, usable, *part, self.threshold, strips)

        def append(part: tuple[int, int]) -> None:
            offset = 0
            while offset < len(block):
                offset = gather(
                    block, strips, offset, CHUNK_ROWS, first_row, *part, self.threshold, self.values, self.rows, self.length, hit
                )
                if offset < len(block):
                    self.cut((part[0] * STRIP, min(part[1] * STRIP, len(self.length))), self.values.shape[1] - CHUNK_ROWS)

        in_parallel(compare, split(len(block)), block.nbytes)
        in_parallel(append, split(strips.shape[1]), block.nbytes)

    def cut(self, columns: tuple[int, int], longest: int) -> None:
        """Cuts lists of columns [first, last) longer than `longest` to their `depth` largest, earlier rows first among equals."""
        for column in range(*columns):
            length = self.length[column]
            if length <= max(longest, self.depth):
                continue
            values = self.values[column, :length]
            border = np.partition(values, length - self.depth)[length - self.depth]
            kept = values > border
            equal = np.flatnonzero(values == border)
            kept[equal[: self.depth - np.count_nonzero(kept)]] = True
            self.length[column] = self.depth
            self.values[column, : self.depth] = values[kept]
            self.rows[column, : self.depth] = self.rows[column, :length][kept]
            self.threshold[column] = np.nextafter(border, border.dtype.type(np.inf))

    def members(self) -> np.ndarray:
        """Sorted int64 rows that are in at least one list."""
        return np.unique(np.concatenate([row[:n] for row, n in zip(self.rows, self.length, strict=True)])).astype(np.int64)


@dataclass(frozen=True)
class OrderedLists:
    """Top lists in the order a selector walks them: score descending, then row ascending.

    score float64, rows int32, next_group int32 [V, L]: `next_group[j, p]` is where column j's next smaller score begins.
    length int64 [V]. What a list does not hold has at most one value, scored `bound` [V] (-inf: the list is the whole column), whose
    missing rows are all larger than `bound_row` [V]; every other missing entry scores at most `below` [V].
    """

    score: np.ndarray
    rows: np.ndarray
    next_group: np.ndarray
    length: np.ndarray
    bound: np.ndarray
    bound_row: np.ndarray
    below: np.ndarray


def order_lists(lists: TopLists, mean: np.ndarray, std: np.ndarray, active: np.ndarray) -> OrderedLists:
    """Scores (value - mean) / std of the active columns' lists, float64, in walking order; inactive columns get empty lists."""
    columns = len(lists.length)
    longest = int(lists.length[active].max(initial=1))
    ordered = OrderedLists(
        score=np.empty((columns, longest)),
        rows=np.empty((columns, longest), np.int32),
        next_group=np.empty((columns, longest), np.int32),
        length=np.where(active, lists.length, 0),
        bound=np.full(columns, -np.inf),
        bound_row=np.full(columns, -1, np.int64),
        below=np.full(columns, -np.inf),
    )
    work = np.flatnonzero(active)
    in_parallel(lambda column: _order_column(lists, ordered, column, mean[column], std[column]), work, lists.values.nbytes)
    return ordered


def _order_column(lists: TopLists, ordered: OrderedLists, column: int, mean: float, std: float) -> None:
    length = lists.length[column]
    values, rows = lists.values[column, :length], lists.rows[column, :length]
    score = (values.astype(np.float64) - mean) / std
    # rows ascend within a list, so that a stable sort leaves the smaller row first among equal scores
    order = np.argsort(-score, kind="stable")
    score = score[order]
    ordered.score[column, :length] = score
    ordered.rows[column, :length] = rows[order]
    ends = np.append(np.flatnonzero(score[1:] != score[:-1]) + 1, length)
    ordered.next_group[column, :length] = np.repeat(ends, np.diff(ends, prepend=0))
    threshold = lists.threshold[column]
    if np.isneginf(threshold):
        return
    down = threshold.dtype.type(-np.inf)
    cut = np.nextafter(threshold, down)
    ordered.bound[column] = (np.float64(cut) - mean) / std
    ordered.below[column] = (np.float64(np.nextafter(cut, down)) - mean) / std
    at_cut = rows[values == cut]
    ordered.bound_row[column] = at_cut[-1] if len(at_cut) else -1


class MomentScan:
    """Running moments of all columns of a source; threads share the chunks, which are folded in row order."""

    def __init__(self, columns: int):
        self._mean, self._squares, self._count = np.zeros(columns), np.zeros(columns), 0

    def add(self, block: np.ndarray, usable: np.ndarray) -> bool:
        """Adds a block of whole chunks; False when a value or a sum is not finite."""
        chunks, columns = -(-len(block) // CHUNK_ROWS), block.shape[1]
        counts, mean, squares = np.empty(chunks, np.int64), np.empty((chunks, columns)), np.empty((chunks, columns))
        in_parallel(lambda part: partial_moments(block, usable, CHUNK_ROWS, *part, counts, mean, squares), split(chunks), block.nbytes)
        for chunk in range(chunks):
            self._count = merge_partials(counts[chunk], mean[chunk], squares[chunk], 0, columns, self._count, self._mean, self._squares)
        return bool(np.isfinite(self._squares).all())

    def moments(self) -> Moments:
        """The moments of all rows added."""
        return finish_moments(self._count, self._mean, self._squares)


def refuse_non_finite(block: Block, usable: np.ndarray, source: Source) -> None:
    """Raises `UserError` that names the first non-finite entry of a valid row, or the column whose values are too large to square."""
    bad = ~np.isfinite(block.values) & usable.astype(bool)[:, None]
    if bad.any():
        row, column = (int(n) for n in np.argwhere(bad)[0])
        raise UserError(
            f"{source.name}: row {block.start + row}, column {column} is {block.values[row, column]}; "
            "write finite values, or mark the row as not valid"
        )
    column = int(np.abs(block.values).max(axis=0).argmax())
    raise UserError(f"{source.name}: values of column {column} are too large for their variance in float64; scale the matrix down")
