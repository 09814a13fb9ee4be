"""Widening float16 is exact for every finite number there is."""

import numpy as np

from equipoise.attribution.products import widened


def test_every_finite_float16_is_widened_exactly():
    everything = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = everything[np.isfinite(everything)].reshape(-1, 2048)
    wide = widened(finite, np.empty((64, 2048), np.float32))
    np.testing.assert_array_equal(wide, finite.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(wide), np.signbit(finite))


def test_a_row_with_an_infinity_or_nan_is_nan_and_the_others_are_not():
    rows = np.ones((4, 3), np.float16)
    rows[1, 2], rows[3, 0] = np.inf, np.nan
    assert np.isnan(widened(rows, np.empty((4, 3), np.float32))).all(axis=1).tolist() == [False, True, False, True]
