"""How figures look: one style file, one colour and marker a selector everywhere, colour-blind safe.

Colours are those of Okabe and Ito (2008) and Paul Tol's muted scheme, told apart by marker and by label too: colour alone never
carries the meaning. The page swaps every colour below for a custom property, so that figures follow its dark theme.
"""

import io
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.colors import LinearSegmentedColormap

from equipoise.reporting.labels import short_label

STYLE_FILE = Path(__file__).with_name("style.mplstyle")
FORMATS = ("svg", "pdf", "png")
WIDTH = 7.6  # inches; a figure fills the page's column and a paper's text width
INK, MUTED, AXIS, GRID = "#1f2933", "#66727f", "#8a949e", "#dfe3e8"
POOL, PAPER, BAND = "#a9b2bb", "#fefefe", "#eef1f4"

# selector -> (colour, marker)
LOOKS = {
    "random": ("#7b8188", "o"),
    "task_max": ("#d55e00", "s"),
    "sum": ("#56b4e9", "^"),
    "instance_max": ("#e69f00", "v"),
    "instance_max_normalized": ("#009e73", "D"),
    "bids": ("#0072b2", "o"),
    "rds": ("#cc79a7", "P"),
    "round_robin": ("#882255", "X"),
    "task_quota": ("#999933", "<"),
    "rds_plus": ("#aa4499", ">"),
    "full": ("#3c4650", "_"),
    "oracle": ("#3d4751", "_"),
    "zero_shot": ("#3e4852", "_"),
}
# one step beside the selectors' colours: these stand on a white card in the dark theme too
SOURCES = ("#0072b3", "#e69f01", "#009e74", "#cc79a8", "#56b4ea", "#d55e01", "#999934", "#882256")

SEQUENTIAL = LinearSegmentedColormap.from_list("equipoise_sequential", ["#f4f7fa", "#b9d3e8", "#5a9bc9", "#0072b2", "#053a61"])
DIVERGING = LinearSegmentedColormap.from_list("equipoise_diverging", ["#a84a00", "#e8a36e", "#f6f5f3", "#7fb6d9", "#005a8f"])


def color(selector: str) -> str:
    """The selector's colour, in every figure."""
    return LOOKS[selector][0]


def marker(selector: str) -> str:
    """The selector's marker, in every figure."""
    return LOOKS[selector][1]


def label(selector: str) -> str:
    """Name of a selector in figures."""
    return short_label(selector)


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


def rendered(figure) -> dict[str, bytes]:
    """The figure as SVG, PDF and PNG bytes, without dates, so that equal data give equal files."""
    files = {}
    for ending, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None}), ("png", {})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending, metadata=metadata)
        files[ending] = buffer.getvalue()
    return files
