"""The analyses are what their definitions say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.attribution.analyses import Average, aid, balance, normality, thi_instance, thi_task_mean
from equipoise.errors import UserError

VALUES = np.array([[9.0, 0.0, 5.0, 5.0], [1.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0]])
TASK_OF = np.array([0, 0, 1, 1])


def test_aid_is_the_mean_of_the_rows():
    np.testing.assert_array_equal(aid(VALUES.astype(np.float32)), [10 / 3, 1.0, 5 / 3, 13 / 3])


@pytest.mark.parametrize("columns", [2, 3, 50, 350])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_aid_of_rows_that_come_in_parts_is_theirs_to_the_bit(columns, dtype):
    values = np.random.default_rng(columns).standard_normal((3000, columns)).astype(dtype)
    average = Average()
    for part in np.split(values, [1, 2, 900, 2999]):
        average.add(part)
    np.testing.assert_array_equal(average.mean(), aid(values))
    np.testing.assert_array_equal(average.mean(), values.mean(axis=0, dtype=np.float64))


def test_aid_of_no_parts_is_an_error():
    with pytest.raises(UserError, match="empty set"):
        Average().mean()


def test_the_two_forms_of_thi_differ_where_one_example_outweighs_a_task():
    # row 0: task 1 has the larger mean (5 > 4.5), task 0 the largest single entry (9)
    assert thi_task_mean(VALUES, TASK_OF, 2).tolist() == [1, 2]
    assert thi_instance(VALUES, TASK_OF, 2).tolist() == [2, 1]


def test_ties_in_thi_go_to_the_first_and_tasks_without_rows_count_zero():
    assert thi_task_mean(np.zeros((4, 3)), np.array([0, 1, 2]), 4).tolist() == [4, 0, 0, 0]
    assert thi_instance(np.zeros((4, 3)), np.array([1, 0, 2]), 4).tolist() == [0, 4, 0, 0]


def test_columns_without_spread_are_left_out_of_thi():
    values = VALUES.copy()
    values[:, 0] = np.nan
    assert thi_instance(values, TASK_OF, 2).tolist() == [1, 2]
    assert thi_task_mean(values, TASK_OF, 2).tolist() == [1, 2]
    assert np.isnan(aid(values)[0])


def test_balance_is_one_for_equal_shares_and_zero_for_a_single_task():
    assert balance(np.array([5, 5, 5])) == pytest.approx(1, abs=1e-15)
    assert balance(np.array([5, 0, 0])) == 0
    assert balance(np.array([3, 1])) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert balance(np.array([7])) == 1


@given(st.lists(st.integers(0, 50), min_size=2, max_size=9).filter(any))
def test_balance_lies_between_zero_and_one_and_ignores_order_and_scale(counts):
    value = balance(np.array(counts))
    assert 0 <= value <= 1 + 1e-12
    assert balance(np.array(counts[::-1]) * 3) == pytest.approx(value)


def test_normality_tells_a_normal_column_from_a_skewed_one():
    rng = np.random.default_rng(0)
    skewed = rng.exponential(size=50_000) - 1
    result = normality(np.stack([rng.standard_normal(50_000), skewed], axis=1), np.linspace(-6, 12, 91))
    np.testing.assert_allclose(result.skew, [0, 2], atol=0.15)
    np.testing.assert_allclose(result.excess_kurtosis, [0, 6], atol=1)
    np.testing.assert_allclose((result.density * np.diff(result.edges)).sum(axis=1), 1, atol=1e-3)
    assert abs(result.observed[0] - result.expected).max() < 0.06
    assert abs(result.observed[1] - result.expected).max() > 0.5
    assert result.expected[49] == 0


@pytest.mark.parametrize(
    "call", [aid, lambda v: thi_instance(v, TASK_OF, 2), lambda v: thi_task_mean(v, TASK_OF, 2), lambda v: normality(v, np.arange(3))]
)
def test_an_empty_set_is_an_error(call):
    with pytest.raises(UserError, match="choose at least one row"):
        call(np.empty((0, 4)))


def test_balance_of_nothing_is_an_error():
    with pytest.raises(UserError, match="at least one row"):
        balance(np.zeros(3))
