"""Rank correlations against scipy's, resampled ones against scipy's on the rows themselves, ceilings against their definition."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from equipoise.validation.statistics import ceiling, column_means, interval, rank_correlations, resamples


@pytest.fixture
def random():
    return np.random.default_rng(3)


def data(random, ties: bool):
    predicted, true = random.normal(size=(30, 4)), random.normal(size=(30, 4))
    true += predicted
    return (np.round(predicted, 0), np.round(true, 0)) if ties else (predicted, true)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("columns", [4, 1])
def test_correlations_are_spearmans(random, ties, columns):
    predicted, true = data(random, ties)
    found = rank_correlations(predicted[:, :columns], true)
    expected = [spearmanr(predicted[:, min(j, columns - 1)], true[:, j]).statistic for j in range(4)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_a_draw_is_spearmans_of_the_rows_drawn(random, ties):
    predicted, true = data(random, ties)
    drawn = resamples(30, np.array([0, 0, 1, 1]), 5, draws=3)
    found = rank_correlations(predicted, true, drawn.rows)
    for draw, counts in enumerate(drawn.rows.astype(int)):
        rows = np.repeat(np.arange(30), counts)
        assert len(rows) == 30
        np.testing.assert_allclose(found[draw], [spearmanr(predicted[rows, j], true[rows, j]).statistic for j in range(4)], atol=1e-12)


def test_what_does_not_vary_predicts_nothing(random):
    assert rank_correlations(np.ones((9, 1)), random.normal(size=(9, 2))).tolist() == [0, 0]


def test_columns_are_drawn_within_their_task():
    drawn = resamples(10, np.array(["a", "b", "a", "b", "b"]), 1, draws=50).columns
    assert (drawn[:, [0, 2]].sum(axis=1) == 2).all()
    assert (drawn[:, [1, 3, 4]].sum(axis=1) == 3).all()
    assert len(np.unique(drawn, axis=0)) > 5
    values = np.arange(5.0)
    assert column_means(values, drawn)[0] == pytest.approx(np.mean(np.repeat(values, drawn[0].astype(int))))


def test_the_interval_holds_the_truth_about_as_often_as_it_says(random):
    """Correlation of normal data with r = 0.5: Spearman's is 6 / pi asin(r / 2)."""
    truth, held = 6 / np.pi * np.arcsin(0.25), 0
    for trial in range(200):
        x = random.normal(size=(60, 1))
        y = 0.5 * x + np.sqrt(0.75) * random.normal(size=(60, 1))
        drawn = resamples(60, np.zeros(1), trial, draws=200)
        low, high = interval(column_means(rank_correlations(x, y, drawn.rows), drawn.columns))
        held += low <= truth <= high
    assert 175 <= held <= 199


def test_the_ceiling_is_the_corrected_correlation_between_seeds(random):
    signal = random.normal(size=(40, 3))
    losses = signal + random.normal(size=(2, 40, 3))
    r = np.array([spearmanr(losses[0, :, j], losses[1, :, j]).statistic for j in range(3)])
    np.testing.assert_allclose(ceiling(losses), 2 * r / (1 + r), atol=1e-12)
    three = np.concatenate([losses, signal[None] + random.normal(size=(1, 40, 3))])
    pairs = [(0, 1), (0, 2), (1, 2)]
    mean = np.array([np.mean([spearmanr(three[a, :, j], three[b, :, j]).statistic for a, b in pairs]) for j in range(3)])
    np.testing.assert_allclose(ceiling(three), 3 * mean / (1 + 2 * mean), atol=1e-12)
    opposed = ceiling(np.stack([signal, -signal]))
    np.testing.assert_allclose(opposed, -1)
