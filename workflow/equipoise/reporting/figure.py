"""A figure of the report: its words, the numbers it shows, and how it is drawn."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from equipoise.files import atomic_path
from equipoise.reporting.escaping import csv_text
from equipoise.reporting.style import rendered, styled


@dataclass(frozen=True)
class Figure:
    """caption: words below it. frame: the plotted numbers. draw: pyplot -> matplotlib figure. name, title: as in the catalogue."""

    caption: str
    frame: pd.DataFrame
    draw: Callable[[Any], Any]
    name: str = ""
    title: str = ""


def write_figure(figure: Figure, folder: str | Path, endings: Collection[str]) -> str:
    """Writes <folder>/<name>.<ending> and .csv atomically; returns the SVG text for the page."""
    with styled() as pyplot:
        files = rendered(figure.draw(pyplot), endings)
    files["csv"] = csv_text(figure.frame).encode()
    for ending, content in files.items():
        with atomic_path(Path(folder) / f"{figure.name}.{ending}") as part:
            part.write_bytes(content)
    return files["svg"].decode("utf-8")
