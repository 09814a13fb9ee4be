"""Selectors that cover states, where there are more rows than the sample has."""

import numpy as np
import pytest

from equipoise.selection import coverage
from equipoise.selection.problem import Problem
from equipoise.selection.source import Source

ROWS, SAMPLED, CENTRES = 5000, 64, 16


@pytest.fixture
def problem(monkeypatch):
    monkeypatch.setattr(coverage, "SAMPLE", SAMPLED)
    monkeypatch.setattr(coverage, "CENTRES", CENTRES)
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((8, 12))
    states = centres[rng.integers(0, 8, ROWS)] + 0.3 * rng.standard_normal((ROWS, 12))
    states = (states / np.linalg.norm(states, axis=1, keepdims=True)).astype(np.float32)
    valid = rng.random(ROWS) < 0.9
    return Problem(ROWS, valid, states=Source(np.where(valid[:, None], states, np.nan).astype(np.float32)))


@pytest.mark.parametrize(("choose", "sign"), [(coverage.kcenter, -1), (coverage.facility_location, 1)])
def test_rows_beyond_the_sample_follow_their_centre_in_turns(problem, choose, sign):
    states = problem.states.read(0, ROWS).astype(np.float64)
    picks = choose(problem, int(problem.valid.sum())).rows.tolist()
    assert sorted(picks) == np.flatnonzero(problem.valid).tolist()
    assert picks[:700] == choose(problem, 700).rows.tolist()
    centres = picks[:CENTRES]
    waiting = [[] for _ in centres]
    for row in sorted(set(picks) - set(centres)):
        cosines = [float(states[row] @ states[centre]) for centre in centres]
        waiting[int(np.argmax(cosines))].append((-sign * max(cosines), row))
    waiting = [[row for _, row in sorted(group)] for group in waiting]
    expected = []
    while any(waiting):
        expected += [group.pop(0) for group in waiting if group]
    assert picks[CENTRES:] == expected


def test_a_cover_by_centres_is_better_than_by_as_many_random_rows(problem):
    states = problem.states.read(0, ROWS)[problem.valid].astype(np.float64)
    place = np.flatnonzero(problem.valid)
    random = np.random.default_rng(0).choice(place, CENTRES, replace=False)
    chosen = {name: getattr(coverage, name)(problem, CENTRES).rows for name in ("kcenter", "facility_location")}
    nearest = {
        name: (states @ problem.states.read(0, ROWS)[rows].astype(np.float64).T).max(axis=1)
        for name, rows in (chosen | {"random": random}).items()
    }
    assert nearest["kcenter"].min() > nearest["random"].min()
    assert nearest["facility_location"].mean() > nearest["random"].mean()


@pytest.mark.parametrize("choose", [coverage.kcenter, coverage.facility_location])
def test_of_equal_rows_the_first_is_taken_first_wherever_they_stand(choose):
    rng = np.random.default_rng(5)
    rows = 997  # no whole number of a processor's vectors: products of the last rows are rounded by another loop
    states = rng.standard_normal((rows, 768))
    groups = [[0, 498, 996], [7, 8, 995], [21, 990]]
    for group in groups:
        states[group] = states[group[0]]
    states = (states / np.linalg.norm(states, axis=1, keepdims=True)).astype(np.float32)
    picks = choose(Problem(rows, np.ones(rows, bool), states=Source(states)), rows).rows.tolist()
    for group in groups:
        assert sorted(group, key=picks.index) == group
