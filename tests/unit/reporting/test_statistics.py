"""The statistics of the report against closed forms, scipy and simulation."""

import numpy as np
import pytest
from scipy import stats

from equipoise.reporting.statistics import (
    balance,
    holm,
    interval,
    macro_standard_error,
    resample_counts,
    resampled_scores,
    runs_p,
    seed_weights,
    task_scores,
    two_sided_p,
)

DRAWS = 10_000


def bernoulli(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.float32)


def test_task_score_is_the_mean_over_items_and_the_median_over_suite_seeds():
    scores = np.array([[[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]], np.float32)
    assert task_scores([scores]).tolist() == [[50.0]]


def test_item_resampling_has_the_closed_form_standard_error():
    scores = bernoulli(0, 2, 1, 300)
    draws = resampled_scores(scores, DRAWS, np.random.default_rng(1))
    expected = 100 * scores[:, 0].std(axis=1) / np.sqrt(300)
    assert draws.std(axis=0) == pytest.approx(expected, rel=0.03)
    assert draws.mean(axis=0) == pytest.approx(100 * scores[:, 0].mean(axis=1), abs=0.15)


def test_item_interval_of_a_paired_difference_agrees_with_scipy():
    scores = bernoulli(2, 2, 1, 150)
    scores[1, 0] = np.where(np.random.default_rng(3).random(150) < 0.7, scores[0, 0], scores[1, 0])
    draws = resampled_scores(scores, DRAWS, np.random.default_rng(4))
    ours = interval(draws[:, 0] - draws[:, 1])
    reference = stats.bootstrap(
        (scores[0, 0], scores[1, 0]),
        lambda a, b, axis: 100 * (a.mean(axis=axis) - b.mean(axis=axis)),
        paired=True,
        n_resamples=DRAWS,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours == pytest.approx((reference.low, reference.high), abs=0.7)


def test_runs_are_paired_by_item_so_equal_runs_never_differ():
    scores = np.repeat(bernoulli(6, 1, 1, 80), 2, axis=0)
    draws = resampled_scores(scores, 500, np.random.default_rng(7))
    assert np.array_equal(draws[:, 0], draws[:, 1])


def test_median_over_suite_seeds_is_recomputed_in_every_draw():
    scores = bernoulli(8, 1, 3, 60)
    draws = resampled_scores(scores, 400, np.random.default_rng(9))
    counts = resample_counts(60, 60, 400, np.random.default_rng(9))
    expected = np.median(counts @ scores[0].T, axis=1) / 60 * 100
    assert draws[:, 0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_variance_of_a_mean_over_resampled_seeds_is_unbiased(seeds):
    values = np.random.default_rng(seeds).normal(size=seeds)
    weights = seed_weights(seeds, 60_000, np.random.default_rng(10))
    assert weights.sum(axis=1) == pytest.approx(np.ones(60_000), abs=1e-5)
    assert (weights @ values).var() == pytest.approx(values.var(ddof=1) / seeds, rel=0.05)


def test_a_single_seed_is_never_resampled():
    assert seed_weights(1, 5, np.random.default_rng(0)).tolist() == [[1.0]] * 5


def test_p_value_agrees_with_the_normal_test_for_many_items():
    generator = np.random.default_rng(11)
    scores = (generator.random((2, 1, 2_000)) < np.array([0.42, 0.39])[:, None, None]).astype(np.float32)
    draws = resampled_scores(scores, DRAWS, np.random.default_rng(12))
    expected = stats.ttest_rel(scores[0, 0], scores[1, 0]).pvalue
    assert two_sided_p(draws[:, 0] - draws[:, 1]) == pytest.approx(expected, abs=0.02)


def test_p_value_of_runs_is_that_of_scipys_welch_test_and_its_closed_form():
    ours, theirs = np.array([61.0, 60.2, 61.9]), np.array([52.0, 57.5, 49.9])
    errors = ours.var(ddof=1) / 3, theirs.var(ddof=1) / 3
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 2 + errors[1] ** 2 / 2)
    expected = 2 * stats.t.sf(abs(ours.mean() - theirs.mean()) / np.sqrt(sum(errors)), freedom)
    assert runs_p(ours, theirs) == pytest.approx(expected)
    assert runs_p(ours, theirs) == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def test_runs_that_never_differ_have_no_p_value_and_one_side_that_differs_is_enough():
    assert np.isnan(runs_p([50.0, 50.0, 50.0], [60.0, 60.0, 60.0]))
    assert 0 < runs_p([50.0, 50.0, 50.0], [60.0, 61.0, 62.0]) < 0.05


def test_p_value_is_never_zero_and_never_above_one():
    assert two_sided_p(np.ones(99)) == pytest.approx(0.02)
    assert two_sided_p(np.zeros(99)) == 1.0


def test_holm_agrees_with_the_worked_example_and_keeps_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0


def test_holm_never_rejects_less_than_bonferroni_nor_more_than_the_raw_p_values():
    p = np.random.default_rng(13).random(40) ** 3
    assert (holm(p) <= np.minimum(p * 40, 1) + 1e-12).all()
    assert (holm(p) >= p).all()


def test_macro_standard_error_adds_the_tasks_binomial_errors():
    scores = [bernoulli(14, 1, 1, 200), bernoulli(15, 1, 1, 50)]
    p = [task.mean() for task in scores]
    squared = [p[0] * (1 - p[0]) / 199, p[1] * (1 - p[1]) / 49]
    assert macro_standard_error(scores) == pytest.approx(100 * np.sqrt(sum(squared)) / 2, rel=1e-4)


def test_balance_is_the_spread_and_the_minimum_over_tasks():
    spread, minimum = balance(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    assert spread.tolist() == [1.0, 0.0]
    assert minimum.tolist() == [1.0, 4.0]
    assert np.isnan(balance(np.array([5.0]))[0])
