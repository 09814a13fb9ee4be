"""Top lists: complete above their threshold, the same for merged row ranges."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.selection import top_lists
from equipoise.selection.top_lists import TopLists, order_lists


def build(matrix, first, last, depth):
    lists = TopLists(matrix.shape[1], depth, len(matrix), matrix.dtype)
    usable = np.ones(last - first, np.uint8)
    lists.add(np.ascontiguousarray(matrix[first:last]), usable, first, np.zeros(0, np.uint8))
    return lists


def content(lists, column):
    n = lists.length[column]
    return list(zip(lists.values[column, :n].tolist(), lists.rows[column, :n].tolist(), strict=True))


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, v = draw(st.integers(2, 80)), draw(st.integers(1, 4))
    matrix = rng.integers(0, draw(st.sampled_from([2, 5, 1000])), (n, v)).astype(draw(st.sampled_from(["f4", "f8"])))
    return matrix, draw(st.integers(1, n)), sorted(draw(st.lists(st.integers(1, n - 1), min_size=1, max_size=3, unique=True)))


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr(top_lists, "CHUNK_ROWS", 4)


@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_a_list_holds_the_largest_entries_in_row_order(case):
    matrix, depth, _ = case
    lists = build(matrix, 0, len(matrix), depth)
    lists.cut((0, matrix.shape[1]), depth)
    for column, values in enumerate(matrix.T):
        best = sorted(range(len(values)), key=lambda i: (-values[i], i))[: lists.length[column]]
        assert content(lists, column) == [(float(values[i]), i) for i in sorted(best)]
        assert lists.length[column] == min(depth, len(values))


@pytest.mark.usefixtures("short_chunks")
@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_lists_of_row_ranges_merge_to_what_the_whole_matrix_gives(case):
    matrix, depth, cuts = case
    borders = [0, *cuts, len(matrix)]
    merged = None
    for first, last in pairwise(borders):
        part = build(matrix, first, last, depth)
        merged = part if merged is None else merged.merge(part)
    neutral = np.zeros(matrix.shape[1]), np.ones(matrix.shape[1]), np.ones(matrix.shape[1], bool)
    ordered = order_lists(merged, *neutral)
    for column, values in enumerate(matrix.T):
        best = sorted(range(len(values)), key=lambda i: (-values[i], i))
        n = ordered.length[column]
        assert ordered.rows[column, :n].tolist() == best[:n]
        if n < len(values):
            # what is missing is no larger than the bound, and where it equals it, further down than every row listed with it
            missing = [i for i in best[n:] if values[i] >= ordered.bound[column]]
            assert all(values[i] == ordered.bound[column] and i > ordered.bound_row[column] for i in missing)
            assert n > 0 or ordered.bound[column] >= values.max()
        else:
            assert n == len(values)
