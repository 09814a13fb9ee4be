"""Colours and markers of selectors."""

import numpy as np

from equipoise.reporting.style import LOOKS
from equipoise.reporting.style import SOURCES as SOURCE_COLORS
from equipoise.selection.registry import selector_names


def test_every_selector_has_its_own_look_that_survives_colour_blindness():
    assert set(LOOKS) == {*selector_names(), "zero_shot"}
    compared = ["random", "task_max", "sum", "instance_max", "instance_max_normalized", "bids", "rds", "round_robin"]
    assert len({marker for marker, _ in map(tuple, (reversed(LOOKS[name]) for name in compared[1:]))}) == len(compared) - 1
    assert len({color for color, _ in LOOKS.values()}) == len(LOOKS)
    for matrix in (np.eye(3), DEUTERANOPIA, PROTANOPIA):
        for colors in ([LOOKS[name][0] for name in ("random", *ABLATION_AND_LESS)], SOURCE_COLORS[:4]):
            seen = [_lightness_and_hue(color, matrix) for color in colors]
            distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
            assert min(distances) > 14


ABLATION_AND_LESS = ("task_max", "instance_max", "instance_max_normalized", "bids")
# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
PROTANOPIA = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])


def _lightness_and_hue(color: str, matrix: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as seen through `matrix`."""
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
