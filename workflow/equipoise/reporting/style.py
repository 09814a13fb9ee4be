"""How figures look: one style file, and the colours of all that is no selector, colour-blind safe.

Colours of selectors (equipoise/selectors.py) and of sources are near those of Okabe and Ito (2008) and of Paul Tol's muted scheme, moved
apart until every two differ by 24 (a selector and a source by 15) in CIELAB, and by 13 (7) as seen without red or green cones; a test holds
them there. They are light enough for the page's dark theme and dark enough for paper. Colour alone never carries the meaning: markers and
labels do too. The page swaps every colour for a custom property.
"""

import io
import warnings
from collections.abc import Collection
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.colors import LinearSegmentedColormap

from equipoise.reporting.escaping import shown

STYLE_FILE = Path(__file__).with_name("style.mplstyle")
WIDTH = 7.6  # inches; a figure fills the page's column and a paper's text width
INK, MUTED, AXIS, GRID = "#1f2933", "#66727f", "#8a949e", "#dfe3e8"
POOL, PAPER, BAND = "#a9b2bb", "#fefefe", "#eef1f4"
NEUTRAL = "#566573"  # of what is no selector's

SOURCES = ("#4836a2", "#d26e76", "#8bcaf3", "#117a33", "#a14398", "#dfc879", "#832711", "#4fb9a2")
"""Colours of the pool's sources: others than the selectors', beside which they stand in the map of the pool."""

SEQUENTIAL = LinearSegmentedColormap.from_list("equipoise_sequential", ["#f4f7fa", "#b9d3e8", "#5a9bc9", "#0072b2", "#053a61"])
DIVERGING = LinearSegmentedColormap.from_list("equipoise_diverging", ["#a84a00", "#e8a36e", "#f6f5f3", "#7fb6d9", "#005a8f"])


@contextmanager
def styled():
    """Figures made within follow the style file; all are closed at the end."""
    with pyplot.style.context(STYLE_FILE):
        try:
            yield pyplot
        finally:
            pyplot.close("all")


def text_on(value: float) -> str:
    """Colour of text on a cell filled with `SEQUENTIAL(value)`, value in 0..1; left alone by the dark theme, as the cell is."""
    return "#ffffff" if value > 0.55 else "#111111"


def rendered(figure, endings: Collection[str]) -> dict[str, bytes]:
    """The figure as bytes of some of svg (always), pdf and png, without dates, so that equal data give equal files."""
    files = {}
    for ending, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None}), ("png", {})):
        if ending not in endings:
            continue
        buffer = io.BytesIO()
        with warnings.catch_warnings():  # PDF and PNG show a box for what the font lacks; the page's SVG takes another font
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(buffer, format=ending, metadata=metadata)
        figure.set_layout_engine("none")  # laid out by the first format, which is a third of the work
        files[ending] = buffer.getvalue()
    files["svg"] = shown(files["svg"].decode("utf-8")).encode()  # matplotlib escapes markup, but not what XML 1.0 forbids
    return files
