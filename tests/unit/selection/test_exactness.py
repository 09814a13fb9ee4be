"""Every selector gives what the naive form of the method gives, for any input."""

import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import helpers.naive_selectors as naive
from equipoise.compiled import Loop
from equipoise.errors import UserError
from equipoise.selection import bids, source, top_lists, turns
from equipoise.selection.interface import make_problem
from equipoise.selectors import SELECTORS, selector

# Every example goes through six ways of reading: EXACTNESS_EXAMPLES=100 searches for longer.
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
def cases(draw):
    """A matrix, its tasks, a mask of valid rows, a number of rows to choose, a seed and a pool."""
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
    return naive.Case(np.asarray(A, order=layout), tasks, valid, rows, seed=int(rng.integers(9)), pool=some_pool(rng, n))


def some_pool(rng, rows):
    """The columns of pool.parquet: few lengths, so that some are equal, and planted ranks for some rows."""
    ranks = {int(row): int(rank) for row, rank in zip(rng.permutation(rows)[: rows // 2 + 1], rng.permutation(rows), strict=False)}
    texts = {name: [f"{name} {row}" for row in range(rows)] for name in ("id", "prompt", "response")}
    texts["source"] = [f"source{k}" for k in rng.integers(0, 3, rows)]
    texts["messages"] = [json.dumps([{"role": "user", "content": f"prompt {row}"}]) for row in range(rows)]
    texts["tools"] = [None] * rows
    texts["metadata"] = [json.dumps({"oracle_rank": ranks[row]} if row in ranks else {}) for row in range(rows)]
    measured = {name: rng.uniform(0.1, 3, rows).astype(np.float32) for name in ("base_loss", "base_loss_alone")}
    measured |= {name: rng.uniform(0.1, 3, (rows, 3)).astype(np.float32) for name in ("losses", "norms")}
    states = rng.standard_normal((rows, 5))
    measured["position_weighted"] = (states / np.linalg.norm(states, axis=1, keepdims=True)).astype(np.float32)
    lengths = {name: rng.integers(1, 9, rows).astype(np.int32) for name in ("completion_tokens", "tokens")}
    return {name: np.array(values, dtype=object) for name, values in texts.items()} | lengths | measured


@pytest.fixture(params=["in memory", "not compiled", "sampled", "streaming", "short lists", "tiny store"])
def way(request, monkeypatch):
    """In memory, compiled or as it is, or streaming with everything so small that chunks split blocks and lists and store run out."""
    if request.param == "in memory":
        return lambda A: A
    if request.param == "not compiled":
        monkeypatch.setattr(Loop, "__call__", lambda loop, *arguments: loop._plain(*arguments))
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
        for module in (top_lists, source):
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


def ranked(entry, case, matrix=None):
    """What a selector makes of a case, of which it is given what its entry names and no more; matrix: as it is read."""
    matrix = case.matrix if matrix is None else matrix
    problem = make_problem(source.Source(matrix, "matrix"), case.tasks, case.valid, case.seed, case.normalisation)
    if entry.matrix is None:
        problem = replace(problem, source=None, tasks=())
    states = source.Source(case.pool[entry.states], "states") if entry.states else None
    problem = replace(problem, pool={name: case.pool[name] for name in entry.pool}, states=states)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return entry.load()(problem, case.rows)


def degenerate(case):
    A, valid = case.matrix, case.valid
    return valid.sum() < 2 or all(len(np.unique(A[valid, j])) == 1 for j in range(A.shape[1]))


def is_as_the_naive_form(entry, case, matrix=None):
    if entry.implementation in naive.NORMALISING and degenerate(case):
        with pytest.raises(UserError, match=r"constant over|no standard deviation"):
            ranked(entry, case, matrix)
        return
    got, expected = ranked(entry, case, matrix), naive.NAIVE[entry.implementation](case)
    for name, values in vars(expected).items():
        if values is not None:
            np.testing.assert_array_equal(getattr(got, name), values, name)


def of_implementations(matrix):
    """A selector of each implementation, with a matrix or without one, and each normalisation that counts for it."""
    entries = {entry.implementation: entry for entry in reversed(SELECTORS) if entry.implementation and bool(entry.matrix) == matrix}
    both, one = ("zscore", "rank"), ("zscore",)
    pairs = [(entry, normalisation) for name, entry in entries.items() for normalisation in (both if name in naive.NORMALISING else one)]
    ids = [f"{entry.name}-{normalisation}" for entry, normalisation in pairs]
    return pytest.mark.parametrize(("entry", "normalisation"), pairs, ids=ids)


def test_every_selector_has_a_naive_form():
    implementations = {entry.implementation for entry in SELECTORS if entry.implementation}
    assert implementations == set(naive.NAIVE), "write what it chooses into tests/helpers/naive_selectors.py"


@of_implementations(matrix=True)
@SETTINGS
@given(case=cases())
def test_a_selector_takes_the_rows_of_its_naive_form_however_the_matrix_is_read(way, entry, normalisation, case):
    is_as_the_naive_form(entry, replace(case, normalisation=normalisation), way(case.matrix))


@of_implementations(matrix=False)
@SETTINGS
@given(case=cases())
def test_a_selector_without_a_matrix_takes_the_rows_of_its_naive_form(entry, normalisation, case):
    is_as_the_naive_form(entry, case)


@pytest.mark.parametrize("entry", [entry for entry in SELECTORS if entry.chooses], ids=lambda entry: entry.name)
@SETTINGS
@given(case=cases())
def test_a_smaller_budget_is_a_prefix_of_a_larger_one(entry, case):
    if degenerate(case):
        return
    everything = ranked(entry, replace(case, rows=int(case.valid.sum())))
    some = ranked(entry, case)
    assert sorted(everything.rows.tolist()) == np.flatnonzero(case.valid).tolist()
    assert some.rows.tolist() == everything.rows[: case.rows].tolist()
    np.testing.assert_array_equal(some.scores, everything.scores[: case.rows])
    np.testing.assert_array_equal(some.margins, everything.margins[: case.rows])


@pytest.mark.parametrize("entry", [entry for entry in SELECTORS if entry.matrix], ids=lambda entry: entry.name)
def test_the_order_of_the_pool_changes_no_pick(entry):
    rng = np.random.default_rng(5)
    A, tasks = rng.standard_normal((300, 12)) + rng.standard_normal((300, 1)), [f"task{j % 3}" for j in range(12)]
    order = rng.permutation(300)
    case = naive.Case(A, tasks, np.ones(300, bool), 300)
    moved = ranked(entry, replace(case, matrix=A[order]))
    assert order[moved.rows].tolist() == ranked(entry, case).rows.tolist()


@pytest.mark.parametrize("name", ["bids_sum", "round_robin_floor"])
def test_a_selector_that_balances_is_not_led_by_one_column_with_a_long_tail(name):
    """A column of spikes takes most of the steps of `bids`; these leave it about its share."""
    rng = np.random.default_rng(6)
    A, tasks = rng.standard_normal((2000, 8)), [f"task{j // 2}" for j in range(8)]
    A[:, 0] += 6 * (rng.random(2000) < 0.08)
    case = naive.Case(A, tasks, np.ones(2000, bool), 200)
    of_bids, balanced = ((ranked(selector(each), case).columns == 0).mean() for each in ("bids", name))
    assert of_bids > 0.3
    assert balanced < 0.2


def test_rows_below_the_floor_come_last_and_the_log_says_so():
    rng = np.random.default_rng(7)
    A, valid = rng.standard_normal((400, 6)), np.ones(400, bool)
    case = naive.Case(A, ["a", "a", "a", "b", "b", "c"], valid, 400)
    scores, varies, _ = naive.task_scores(case)
    above = int((scores[:, varies].mean(axis=1) > 0).sum())
    problem = make_problem(source.Source(A, "matrix"), case.tasks, valid, 0, "zscore")
    with pytest.warns(
        UserWarning, match=rf"round_robin_floor: {above} rows lie above the floor and 400 are ranked; the last {400 - above} "
    ):
        rows = selector("round_robin_floor").load()(problem, 400).rows
    means = scores[rows].mean(axis=1)
    assert (means[:above] > 0).all()
    assert (means[above:] <= 0).all()


def test_ties_beyond_a_full_row_store_do_not_stop_the_steps(monkeypatch):
    """Three ones and five zeros: after the ones every zero ties, and a store of one row cuts each list before the smallest of them."""
    monkeypatch.setattr(source, "BLOCK_BYTES", 1)
    monkeypatch.setattr(bids, "first_depth", lambda *_: 1)
    monkeypatch.setattr(bids, "STORE_BYTES", 1)
    for module in (top_lists, source):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    for order in ([1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1, 1, 1]):
        A = np.array(order, np.float32)[:, None]
        valid = np.ones(8, bool)
        picks, *_ = naive.bids(A, valid, 8, "zscore")
        assert ranked(selector("bids"), naive.Case(A, ["t"], valid, 8), ChunkedView(A)).rows.tolist() == picks
