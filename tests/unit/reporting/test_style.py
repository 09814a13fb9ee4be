"""Colours and markers of selectors, and colours of sources."""

from itertools import combinations

import numpy as np
import pytest

from equipoise.reporting.style import SOURCES as SOURCE_COLORS
from equipoise.selectors import SELECTORS, selector_names


def test_every_selector_has_a_look_of_its_own():
    assert {known.name for known in SELECTORS} == {*selector_names(), "zero_shot"}
    assert len({known.marker for known in SELECTORS}) == len(SELECTORS)


@pytest.mark.parametrize("sight", ["normal", "deuteranopia", "protanopia"])
def test_all_colours_that_are_shown_together_stay_apart(sight):
    within, across = (23, 14) if sight == "normal" else (13, 6.5)
    matrix = {"normal": np.eye(3), "deuteranopia": DEUTERANOPIA, "protanopia": PROTANOPIA}[sight]
    selectors = {known.name: _seen(known.color, matrix) for known in SELECTORS}
    sources = {f"source {color}": _seen(color, matrix) for color in SOURCE_COLORS}
    for one, other in combinations(selectors | sources, 2):
        least = within if (one in selectors) == (other in selectors) else across
        distance = np.linalg.norm((selectors | sources)[one] - (selectors | sources)[other])
        assert distance > least, (one, other)


def test_selectors_are_seen_on_the_pages_light_and_dark_ground():
    for known in SELECTORS:
        luminance = ((_seen(known.color, np.eye(3))[0] + 16) / 116) ** 3
        assert 1.05 / (luminance + 0.05) > 2.2, known.name  # lines and markers, beside a label
        assert (luminance + 0.05) / (0.0095 + 0.05) > 3, known.name


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
PROTANOPIA = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])


def _seen(color: str, matrix: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as seen through `matrix`."""
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
