"""Random subsets of the pool: of one size, and where they are stratified, of ever other shares of the sources."""

import numpy as np

from equipoise.budgets import budget_rows
from equipoise.validation.drawing import subset_rows

USABLE = np.arange(2000)[np.arange(2000) % 7 != 3]
STRATA = np.array(["a", "b", "c", "d"])[USABLE % 4]


def shares(strata: np.ndarray | None) -> np.ndarray:
    """Share of every source that is in each of 40 subsets, [40, 4]."""
    drawn = [np.isin(USABLE, subset_rows(USABLE, 0.5, number, 5, strata)) for number in range(40)]
    return np.array([[inside[source == STRATA].mean() for source in "abcd"] for inside in drawn])


def test_stratified_subsets_have_the_size_of_plain_ones_and_their_rows_once():
    for number in range(5):
        rows = subset_rows(USABLE, 0.3, number, 5, STRATA)
        assert len(rows) == budget_rows(0.3, len(USABLE))
        assert np.isin(rows, USABLE).all()
        assert (np.diff(rows) > 0).all()
    assert subset_rows(USABLE, 0.3, 0, 5, STRATA).tolist() == subset_rows(USABLE, 0.3, 0, 5, STRATA).tolist()
    assert subset_rows(USABLE, 0.3, 0, 5, STRATA).tolist() != subset_rows(USABLE, 0.3, 1, 5, STRATA).tolist()


def test_sources_are_drawn_at_ever_other_rates_and_about_half_of_each_on_average():
    plain, stratified = shares(None), shares(STRATA)
    assert stratified.std(axis=0).min() > 5 * plain.std(axis=0).max()
    assert np.abs(stratified.mean(axis=0) - 0.5).max() < 0.12


def test_rows_of_one_stratum_are_drawn_uniformly():
    one = np.array(["a"] * len(USABLE))
    often = np.mean([np.isin(USABLE, subset_rows(USABLE, 0.5, number, 5, one)) for number in range(400)], axis=0)
    assert np.abs(often - 0.5).max() < 5 * 0.5 / np.sqrt(400)
