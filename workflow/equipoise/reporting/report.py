"""Writes the report of an experiment: scores.csv, tables, figures with their numbers, and one self-contained page."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pandas as pd

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.files import atomic_path, write_text
from equipoise.progress import log, track
from equipoise.reporting.catalogue import PAGE, SCORES, results
from equipoise.reporting.decision import decision
from equipoise.reporting.escaping import csv_text
from equipoise.reporting.figure import write_figure
from equipoise.reporting.material import Material
from equipoise.reporting.page import Partial, write_page
from equipoise.reporting.render import write_table
from equipoise.reporting.result import Result
from equipoise.reporting.standing import standing_of

PICTURES = ("svg", "pdf", "png")


def report(config: Experiment) -> None:
    """Writes everything below <results>/<experiment>/report/; the page comes last.

    Raises `UserError` naming the file when a score, sample, ranking, selection or the matrix is missing or does not fit.
    """
    folder, material, made = Path(config.layout.report), Material(config), results(config)
    _write_scores(material, folder)
    svgs = _write_results(material, made, folder)
    frames = {result.name: material.frame(result.name) for result in results(config, material.bootstrap.evaluation.runs)}
    write_text(config.layout.verdict, f"{decision(config, frames)['sentence']}\n")
    page = write_page(material, folder / PAGE, frames, svgs, made)
    log(f"report: {page}")


def partial_report(config: Experiment) -> None:
    """Writes what can be told of the finished runs below <results>/<experiment>/report-partial/, at any time: no comparison, no verdict.

    What cannot be made yet is named on the page, with what it waits for.
    """
    standing = standing_of(config)
    note = f"Partial: {len(standing.finished)} of {standing.runs} runs. "
    folder, material = Path(config.layout.partial_report), Material(standing.config, runs=standing.finished, note=note)
    made, missing = _possible(material, results(config))
    (folder / SCORES).unlink(missing_ok=True)
    with suppress(UserError):  # no run is finished, or all have failed; the page says which
        _write_scores(material, folder)
    svgs = _write_results(material, made, folder, ("svg",))  # what the page shows: the other formats are half of the time
    frames = {result.name: material.frame(result.name) for result in made}
    page = write_page(material, folder / PAGE, frames, svgs, made, Partial(standing, missing))
    log(f"report: {standing.sentence} {page}")


def figures(config: Experiment) -> None:
    """Draws the figures alone."""
    _write_figures(Material(config), results(config), Path(config.layout.report))


def _possible(material: Material, wanted: list[Result]) -> tuple[list[Result], dict[str, list[str]]]:
    """Those results that can be made now, and the titles of the others by what they wait for."""
    made: list[Result] = []
    missing: dict[str, list[str]] = {}
    for result in wanted:
        if result.decides:
            missing.setdefault("all runs, as they compare", []).append(result.title)
            continue
        try:
            if result.when(material.config, material.runs or ()):
                material.make(result.name)
                made.append(result)
                continue
            reason = "further selections or runs"
        except UserError as error:
            reason = str(error)
        missing.setdefault(reason, []).append(result.title)
    return made, missing


def _write_scores(material: Material, folder: Path) -> None:
    with atomic_path(folder / SCORES) as part:
        rows = [row for bootstrap in material.bootstraps for row in bootstrap.evaluation.rows]
        part.write_text(csv_text(pd.DataFrame(rows).astype({"suite_seed": "Int64"})), encoding="utf-8")


def _write_results(material: Material, made: list[Result], folder: Path, endings: Collection[str] = PICTURES) -> dict[str, str]:
    """Every table and figure; the SVG texts of the figures by name."""
    svgs = _write_figures(material, made, folder, endings)
    for result in made:
        if result.kind == "table":
            write_table(material.make(result.name), folder / "tables")
    _remove_unknown({folder / file for result in made for file in result.files}, folder)
    return svgs


def _write_figures(material: Material, made: list[Result], folder: Path, endings: Collection[str] = PICTURES) -> dict[str, str]:
    """Name -> SVG text of every figure, once it is written."""
    drawn = [material.make(result.name) for result in made if result.kind == "figure"]
    told = track(drawn, "draw figures", len(drawn), unit="figures")
    return {figure.name: write_figure(figure, folder / "figures", endings) for figure in told}


def _remove_unknown(known: Collection[Path], folder: Path) -> None:
    """Deletes tables and figures that were not made now: left by another sweep, they would pass for its results."""
    for path in sorted(path for kind in ("tables", "figures") for path in (folder / kind).glob("*")):
        if path.is_file() and path not in known:
            path.unlink()
            log(f"report: removed {path}, which is not of this configuration")
