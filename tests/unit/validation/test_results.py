"""Differences between candidates are paired: every candidate is resampled by the same draws."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from equipoise.validation.results import Compared, compared_correlations, compared_effects
from equipoise.validation.statistics import interval, resamples

ROWS = 25
TASKS = np.array(["alpha", "alpha", "beta", "beta", "beta"])
DRAWS = resamples(ROWS, TASKS, 7, draws=60)


@pytest.fixture
def random():
    return np.random.default_rng(11)


def by_name(results):
    return {each.candidate: each for each in results}


def test_equal_candidates_differ_by_nothing_in_every_draw(random):
    true = random.normal(size=(ROWS, 5))
    matrix = true + 2 * random.normal(size=(ROWS, 5))
    found = by_name(compared_correlations(Compared("subsets", "less", TASKS, DRAWS), {"less": matrix, "copy": matrix.copy()}, true))
    assert (found["copy"].difference, found["copy"].difference_low, found["copy"].difference_high) == (0.0, 0.0, 0.0)
    assert found["copy"].low < found["copy"].high, "the correlation itself is uncertain"
    losses, choices = random.normal(size=5), random.normal(size=(4, 5))
    made = Compared("without", "less", TASKS, resamples(4, TASKS, 7, draws=60), 0.1)
    found = by_name(compared_effects(made, {"less": losses, "copy": losses.copy()}, choices, 1))
    assert (found["copy"].difference, found["copy"].difference_low, found["copy"].difference_high) == (0.0, 0.0, 0.0)
    assert found["copy"].low < found["copy"].high


def test_a_difference_of_correlations_is_that_of_the_same_rows_and_columns(random):
    true = random.normal(size=(ROWS, 5))
    given = {"less": true + random.normal(size=(ROWS, 5)), "ekfac": true + random.normal(size=(ROWS, 5))}
    found = by_name(compared_correlations(Compared("subsets", "less", TASKS, DRAWS), given, true))["ekfac"]
    drawn = []
    for counts, columns in zip(DRAWS.rows.astype(int), DRAWS.columns.astype(int), strict=True):
        rows, places = np.repeat(np.arange(ROWS), counts), np.repeat(np.arange(5), columns)
        each = {name: np.mean([spearmanr(values[rows, j], true[rows, j]).statistic for j in places]) for name, values in given.items()}
        drawn.append(each["ekfac"] - each["less"])
    assert (found.difference_low, found.difference_high) == pytest.approx(interval(np.array(drawn)))
    whole = {name: np.mean([spearmanr(values[:, j], true[:, j]).statistic for j in range(5)]) for name, values in given.items()}
    assert found.difference == pytest.approx(whole["ekfac"] - whole["less"])


def test_a_difference_of_effects_owes_nothing_to_the_random_choices_that_both_are_compared_with(random):
    chosen = {"less": random.normal(size=5), "ekfac": random.normal(size=5)}
    choices = 100 * random.normal(size=(4, 5))
    made = Compared("without", "less", TASKS, resamples(4, TASKS, 7, draws=60), 0.1)
    found = by_name(compared_effects(made, chosen, choices, 1))["ekfac"]
    apart = chosen["ekfac"] - chosen["less"]
    drawn = (made.draws.columns * apart).sum(axis=1) / 5
    assert (found.difference_low, found.difference_high) == pytest.approx(interval(drawn), abs=1e-9)
    assert found.high - found.low > 10 * (found.difference_high - found.difference_low)
