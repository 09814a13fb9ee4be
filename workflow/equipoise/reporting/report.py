"""Writes the report of an experiment: scores.csv, tables, figures with their numbers, and one self-contained page."""

from pathlib import Path

import pandas as pd

from equipoise.config import Experiment
from equipoise.files import atomic_path, write_text
from equipoise.progress import log, track
from equipoise.reporting.catalogue import PAGE, SCORES, results
from equipoise.reporting.decision import decision
from equipoise.reporting.escaping import csv_text
from equipoise.reporting.figure import write_figure
from equipoise.reporting.material import Material
from equipoise.reporting.page import write_page
from equipoise.reporting.render import write_table


def report(config: Experiment) -> None:
    """Writes everything below <results>/<experiment>/report/; the page comes last.

    Raises `UserError` naming the file when a score, sample, ranking, selection or the matrix is missing or does not fit.
    """
    folder, material = Path(config.layout.report), Material(config)
    with atomic_path(folder / SCORES) as part:
        rows = [row for bootstrap in material.bootstraps for row in bootstrap.evaluation.rows]
        part.write_text(csv_text(pd.DataFrame(rows).astype({"suite_seed": "Int64"})), encoding="utf-8")
    names = {kind: [result.name for result in results(config) if result.kind == kind] for kind in ("table", "figure")}
    svgs = _write_figures(material, names["figure"])
    for name in names["table"]:
        write_table(material.make(name), folder / "tables")
    _remove_unknown(config, folder)
    frames = {result.name: material.frame(result.name) for result in results(config, material.bootstrap.evaluation.runs)}
    write_text(config.layout.verdict, f"{decision(config, frames)['sentence']}\n")
    page = write_page(material, folder / PAGE, frames, svgs)
    log(f"report: {page}")


def figures(config: Experiment) -> None:
    """Draws the figures alone."""
    _write_figures(Material(config), [result.name for result in results(config) if result.kind == "figure"])


def _write_figures(material: Material, names: list[str]) -> dict[str, str]:
    """Name -> SVG text of every figure, once it is written."""
    folder = Path(material.config.layout.report) / "figures"
    made = [material.make(name) for name in names]
    return {figure.name: write_figure(figure, folder) for figure in track(made, "draw figures", len(made), unit="figures")}


def _remove_unknown(config: Experiment, folder: Path) -> None:
    """Deletes tables and figures that this configuration has not: left by another sweep, they would pass for its results."""
    known = {folder / file for result in results(config) for file in result.files}
    for path in sorted(path for kind in ("tables", "figures") for path in (folder / kind).iterdir()):
        if path.is_file() and path not in known:
            path.unlink()
            log(f"report: removed {path}, which is not of this configuration")
