"""Colours and markers of selectors, and colours of sources."""

from itertools import combinations, pairwise, product
from xml.etree import ElementTree

import numpy as np
import pytest

from equipoise.reporting.style import SOURCES as SOURCE_COLORS
from equipoise.reporting.style import rendered, styled
from equipoise.selectors import BASELINE, SELECTORS, selector_names

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
PROTANOPIA = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])
SIGHTS = {"normal": (np.eye(3), 23, 14), "deuteranopia": (DEUTERANOPIA, 13, 6.5), "protanopia": (PROTANOPIA, 13, 6.5)}
"""Matrix, and the distances that are kept: among selectors and among sources, between the two."""


def test_every_selector_has_a_look_of_its_own():
    assert {known.name for known in SELECTORS} == {*selector_names(), "zero_shot"}
    assert len({known.marker for known in SELECTORS}) == len(SELECTORS)
    assert all(known.matrix is None and known.marker[0] == known.marker[-1] == "$" for known in SELECTORS if known.color == BASELINE)


@pytest.mark.parametrize("sight", SIGHTS)
def test_all_colours_that_are_shown_together_stay_apart(sight):
    matrix, within, across = SIGHTS[sight]
    selectors = {known.name: _seen(known.color, matrix) for known in SELECTORS}
    shared = {known.name for known in SELECTORS if known.color == BASELINE}
    sources = {f"source {color}": _seen(color, matrix) for color in SOURCE_COLORS}
    for one, other in combinations(selectors | sources, 2):
        if one in shared and other in shared:
            continue  # their letters tell them apart
        least = within if (one in selectors) == (other in selectors) else across
        distance = np.linalg.norm((selectors | sources)[one] - (selectors | sources)[other])
        assert distance > least, f"{one} and {other} look alike; free beside all others: {free_colors(one, other)}"


def test_neighbours_in_tables_and_legends_differ_at_a_glance():
    for row in ([known.color for known in SELECTORS if known.chooses], SOURCE_COLORS):
        for one, other in pairwise(dict.fromkeys(row)):  # those of one colour are told apart by their letters
            distance = np.linalg.norm(_seen(one, np.eye(3)) - _seen(other, np.eye(3)))
            assert distance > 35, f"{one} and {other} stand side by side and are {distance:.0f} apart"


@pytest.mark.parametrize("known", SELECTORS, ids=lambda known: known.name)
def test_selectors_are_seen_on_the_pages_light_and_dark_ground(known):
    assert _stands_out(known.color), f"free beside all others: {free_colors(known.name)}"


def free_colors(*but: str) -> list[str]:
    """Up to three colours that fit together beside those of all sources and selectors; `but`: without these selectors."""
    steps = [f"{value:02x}" for value in range(0, 256, 15)]
    candidates = [color for color in map("".join, product("#", steps, steps, steps)) if _stands_out(color)]
    room = np.full(len(candidates), np.inf)  # of each candidate: its least distance, over the one to keep
    taken = [(known.color, True) for known in SELECTORS if known.name not in but] + [(color, False) for color in SOURCE_COLORS]
    found: list[str] = []
    seen = {sight: np.array([_seen(color, matrix) for color in candidates]) for sight, (matrix, _, _) in SIGHTS.items()}
    while taken:
        color, of_selector = taken.pop()
        for sight, (matrix, within, across) in SIGHTS.items():
            distances = np.linalg.norm(seen[sight] - _seen(color, matrix), axis=1)
            room = np.minimum(room, distances / (within if of_selector else across))
        if not taken and room.max() > 1 and len(found) < 3:
            found.append(candidates[int(room.argmax())])
            taken.append((found[-1], True))
    return found


def _stands_out(color: str) -> bool:
    """Whether lines and markers, beside a label, are seen on both grounds."""
    luminance = ((_seen(color, np.eye(3))[0] + 16) / 116) ** 3
    return bool(1.05 / (luminance + 0.05) > 2.2 and (luminance + 0.05) / (0.0095 + 0.05) > 3)


def _seen(color: str, matrix: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as seen through `matrix`."""
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_names_in_figures_are_data():
    names = ("$", "$x$", "a $\\frac{$ b", "<&>", "bell \x07 and \x1b[2J", "\ufffe", "{0}", "%s")
    with styled() as pyplot:
        figure, axes = pyplot.subplots()
        for number, name in enumerate(names):
            axes.text(0, number, name)
        drawn = rendered(figure, ("svg",))["svg"].decode()
    texts = {"".join(node.itertext()).strip() for node in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    shown = {"bell \x07 and \x1b[2J": "bell [U+0007] and [U+001B][2J", "\ufffe": "[U+FFFE]"}
    assert {shown.get(name, name) for name in names} <= texts
