"""How far the balance of BIDS acts, against the naive greedy on the same matrix."""

from types import SimpleNamespace

import numpy as np
import pytest

from equipoise.reporting.bids_balance import bids_steps_by_example, steps_by_column, table_bids_balance
from equipoise.reporting.influence import Influence, Ranking
from equipoise.reporting.sealed_matrix import Matrix
from equipoise.selection.source import Source
from helpers import naive_selectors as naive

BUDGETS = (20, 0.15)


@pytest.fixture
def balanced():
    """A material with a heavy-tailed column, one without spread and a flagged row; its naive picks, winners and z-scores."""
    rng = np.random.default_rng(8)
    values = rng.standard_normal((400, 8)).astype(np.float32)
    values[:, 0] += (6 * (rng.random(400) < 0.05)).astype(np.float32)
    values[:, 5] = 1.0
    values[17] = np.nan
    valid = np.isfinite(values).all(axis=1)
    kept = values[valid].astype(np.float64)
    columns = [{"task": "ab"[j // 4], "id": f"v{j}"} for j in range(8)]
    matrix = Matrix(Source(values), valid, columns, kept.mean(axis=0), kept.std(axis=0, ddof=1) * (np.arange(8) != 5))
    picks, _, winners, _ = naive.bids(values, valid, 59, "zscore")
    influence = Influence.__new__(Influence)
    influence.matrix, influence.ranking = matrix, lambda name: Ranking(np.array(picks), np.array(winners))
    config = SimpleNamespace(budgets=BUDGETS)
    material = SimpleNamespace(influence=influence, config=config, valid=int(valid.sum()), most_rows=59)
    z = np.full(values.shape, np.nan)
    active = [j for j in range(8) if j != 5]
    z[np.ix_(valid, active)] = ((kept - kept.mean(axis=0)) / kept.std(axis=0, ddof=1))[:, active]
    return material, picks, winners, z


def test_the_table_counts_what_the_naive_greedy_does(balanced):
    material, picks, winners, z = balanced
    frame = table_bids_balance(material).frame
    assert frame["rows"].tolist() == [20, 59]
    best = np.argsort(-np.nan_to_num(np.nanmax(np.where(np.isfinite(z), z, -9), axis=1), nan=-9), kind="stable")
    for line in frame.to_dict("records"):
        rows = line["rows"]
        steps = np.bincount(winners[:rows], minlength=8)
        assert line["shared"] == pytest.approx(100 * len(set(picks[:rows]) & set(best[:rows].tolist())) / rows)
        assert line["spread"] == pytest.approx(np.nanstd(z[picks[:rows]].mean(axis=0)))
        assert line["largest"] == pytest.approx(np.nanstd(np.nanmax(z[:, [0, 1, 2, 3, 4, 6, 7]], axis=0)))
        assert line["first"] == line["tenth"] == pytest.approx(100 * steps.max() / rows)
        assert line["unserved"] == (steps == 0).sum() >= 1


def test_the_figure_tells_every_validation_example(balanced):
    material, _, winners, z = balanced
    frame = bids_steps_by_example(material).frame
    assert frame["steps"].tolist() == np.bincount(winners, minlength=8).tolist()
    assert frame["steps"].sum() == 59
    assert np.isnan(frame["M"][5])
    assert np.isnan(frame["largest"][5])
    assert frame["largest"][0] == pytest.approx(np.nanmax(z[:, 0]))


def test_steps_that_no_column_wins_are_counted_for_none_and_flagged_rows_are_no_ones_best(balanced):
    material, *_ = balanced
    assert steps_by_column(np.array([1, -1, 1, 0]), 3).tolist() == [1, 2, 0]
    assert material.influence.largest_normalised[1][17] == -np.inf
