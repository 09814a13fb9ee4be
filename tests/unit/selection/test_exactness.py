"""Every selector gives what the naive form of the method gives, for any input."""

import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import helpers.naive_selectors as naive
from equipoise.attribution import column_moments as moments
from equipoise.errors import UserError
from equipoise.selection import bids, select, source, top_lists, turns

# Every example goes through five ways of reading: EXACTNESS_EXAMPLES=100 searches for longer.
SETTINGS = settings(
    max_examples=int(os.environ.get("EXACTNESS_EXAMPLES", "6")), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MAKERS = {
    "gaussian": lambda rng, shape: rng.standard_normal(shape),
    "binary": lambda rng, shape: rng.integers(0, 2, shape).astype(float),
    "few values": lambda rng, shape: rng.integers(-2, 3, shape) / 3,
    "huge offset": lambda rng, shape: rng.standard_normal(shape) + 10.0 ** rng.integers(3, 7),
    "offset per column": lambda rng, shape: rng.standard_normal(shape) + 1e4 * rng.standard_normal(shape[1]),
    "mixed scales": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.integers(-12, 4, shape),
    "correlated": lambda rng, shape: rng.standard_normal((shape[0], 1)) + 0.01 * rng.standard_normal(shape),
    "heavy tail": lambda rng, shape: np.clip(rng.standard_cauchy(shape), -6e4, 6e4),
    "signed zeros": lambda rng, shape: np.where(rng.random(shape) < 0.5, -0.0, 0.0) + (rng.random(shape) < 0.1),
    "ascending": lambda rng, shape: np.sort(rng.standard_normal(shape), axis=0),
}


@st.composite
def matrices(draw):
    """A matrix, its tasks, a mask of valid rows and a number of rows to choose."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, v = draw(st.integers(2, 60)), draw(st.integers(1, 9))
    dtype = draw(st.sampled_from(["float16", "float32", "float64"]))
    with np.errstate(over="ignore"):
        A = MAKERS[draw(st.sampled_from(sorted(MAKERS)))](rng, (n, v)).astype(dtype)
    A = np.nan_to_num(A, posinf=6e4, neginf=-6e4)
    if draw(st.booleans()):
        A = A[rng.integers(0, n, n)]  # duplicated rows
    if draw(st.booleans()):
        A = A[:, rng.integers(0, v, v)]  # duplicated columns
    if draw(st.booleans()):
        A[:, rng.integers(v)] = A[0, 0]  # a constant column
    valid = rng.random(n) < draw(st.sampled_from([0.6, 1.0]))
    valid[rng.integers(n)] = True
    A[~valid] = np.nan
    tasks = [f"task{k}" for k in rng.integers(0, draw(st.integers(1, 4)), v)]
    layout = draw(st.sampled_from(["C", "F"]))
    rows = draw(st.one_of(st.integers(1, int(valid.sum())), st.just(int(valid.sum()))))
    return np.asarray(A, order=layout), tasks, valid, rows


@pytest.fixture(params=["in memory", "sampled", "streaming", "short lists", "tiny store"])
def way(request, monkeypatch):
    """In memory, or streaming with everything so small that chunks split blocks, lists run out and the store overflows."""
    if request.param == "in memory":
        return lambda A: A
    if request.param == "sampled":
        monkeypatch.setattr(top_lists, "SAMPLED_ROWS", 5)
        monkeypatch.setattr(bids, "first_depth", lambda *_: 2)
        monkeypatch.setattr(turns, "first_depth", lambda *_: 2)
        return lambda A: A
    monkeypatch.setattr(source, "BLOCK_BYTES", 1)
    if request.param != "streaming":
        monkeypatch.setattr(bids, "first_depth", lambda *_: 1)
        monkeypatch.setattr(turns, "first_depth", lambda *_: 1)
        for module in (top_lists, source, moments):
            monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    if request.param == "tiny store":
        monkeypatch.setattr(bids, "STORE_BYTES", 1)
    if request.param == "short lists":
        return lambda A: A
    return ChunkedView


class ChunkedView:
    """Not a numpy array: read by row slices only, stored in chunks of 7 rows."""

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, values.dtype
        self.chunks = (7, values.shape[1])

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self._values[rows]


def run(A, tasks, selector, rows, valid, normalisation="zscore"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return select(A, tasks, selector, rows, valid=valid, normalisation=normalisation)


def degenerate(A, valid):
    return valid.sum() < 2 or all(len(np.unique(A[valid, j])) == 1 for j in range(A.shape[1]))


@pytest.mark.parametrize("normalisation", ["zscore", "rank"])
@SETTINGS
@given(case=matrices())
def test_bids_takes_the_naive_greedys_steps(way, normalisation, case):
    A, tasks, valid, rows = case
    if degenerate(A, valid):
        with pytest.raises(UserError, match=r"constant over|no standard deviation"):
            run(way(A), tasks, "bids", rows, valid, normalisation)
        return
    got = run(way(A), tasks, "bids", rows, valid, normalisation)
    picks, scores, winners, margins = naive.bids(A, valid, rows, normalisation)
    assert got.rows.tolist() == picks
    assert got.scores.tolist() == scores
    assert got.columns.tolist() == winners
    np.testing.assert_array_equal(got.margins, margins)


@pytest.mark.parametrize("normalisation", ["zscore", "rank"])
@SETTINGS
@given(case=matrices())
def test_instance_max_normalized_takes_the_largest_normalised_entries(way, normalisation, case):
    A, tasks, valid, rows = case
    if degenerate(A, valid):
        return
    got = run(way(A), tasks, "instance_max_normalized", rows, valid, normalisation)
    picks, winners = naive.instance_max_normalized(A, valid, rows, normalisation)
    assert got.rows.tolist() == picks
    assert got.columns.tolist() == winners[picks].tolist()


@SETTINGS
@given(case=matrices())
def test_selectors_by_score_sort_by_score_then_row(way, case):
    A, tasks, valid, rows = case
    got = run(way(A), tasks, "instance_max", rows, valid)
    picks, winners = naive.instance_max(A, valid, rows)
    assert got.rows.tolist() == picks
    assert got.columns.tolist() == winners[picks].tolist()
    sums = naive.column_order_sum(A, range(A.shape[1]))
    got = run(way(A), tasks, "sum", rows, valid)
    assert got.rows.tolist() == naive.by_score(sums, valid, rows)
    assert got.scores.tolist() == sums[got.rows].tolist()
    means = naive.task_means(A, tasks)
    got = run(way(A), tasks, "task_max", rows, valid)
    assert got.rows.tolist() == naive.by_score(means.max(axis=1), valid, rows)
    for row, column in zip(got.rows, got.columns, strict=True):
        group = naive.task_columns(tasks)[means[row].argmax()]
        assert column == group[int(A[row, group].argmax())]


@SETTINGS
@given(case=matrices())
def test_selectors_by_turns_take_their_best_remaining_row(way, case):
    A, tasks, valid, rows = case
    picks, takers = naive.turns(A.astype(np.float64), naive.interleaved(tasks), valid, rows)
    got = run(way(A), tasks, "round_robin", rows, valid)
    assert got.rows.tolist() == picks
    assert got.columns.tolist() == takers
    means = naive.task_means(A, tasks)
    picks, takers = naive.turns(means, range(means.shape[1]), valid, rows)
    got = run(way(A), tasks, "task_quota", rows, valid)
    assert got.rows.tolist() == picks
    assert [tasks[column] for column in got.columns] == [list(dict.fromkeys(tasks))[taker] for taker in takers]


@pytest.mark.parametrize(
    "selector", ["random", "task_max", "sum", "instance_max", "instance_max_normalized", "bids", "round_robin", "task_quota"]
)
@SETTINGS
@given(case=matrices())
def test_a_smaller_budget_is_a_prefix_of_a_larger_one(selector, case):
    A, tasks, valid, rows = case
    if degenerate(A, valid):
        return
    everything = run(A, tasks, selector, int(valid.sum()), valid)
    some = run(A, tasks, selector, rows, valid)
    assert sorted(everything.rows.tolist()) == np.flatnonzero(valid).tolist()
    assert some.rows.tolist() == everything.rows[:rows].tolist()
    np.testing.assert_array_equal(some.scores, everything.scores[:rows])
    np.testing.assert_array_equal(some.margins, everything.margins[:rows])


def test_ties_beyond_a_full_row_store_do_not_stop_the_steps(monkeypatch):
    """Three ones and five zeros: after the ones every zero ties, and a store of one row cuts each list before the smallest of them."""
    monkeypatch.setattr(source, "BLOCK_BYTES", 1)
    monkeypatch.setattr(bids, "first_depth", lambda *_: 1)
    monkeypatch.setattr(bids, "STORE_BYTES", 1)
    for module in (top_lists, source, moments):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    for order in ([1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1, 1, 1]):
        A = np.array(order, np.float32)[:, None]
        valid = np.ones(8, bool)
        picks, *_ = naive.bids(A, valid, 8, "zscore")
        assert run(ChunkedView(A), ["t"], "bids", 8, valid).rows.tolist() == picks
