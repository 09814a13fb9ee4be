"""Writes the report of an experiment: scores.csv, tables, figures with their numbers, and one self-contained page."""

from pathlib import Path

import pandas as pd

from equipoise.budgets import budget_label
from equipoise.config import Experiment
from equipoise.files import atomic_path
from equipoise.progress import log, track
from equipoise.reporting.answers import answer_table
from equipoise.reporting.catalogue import results
from equipoise.reporting.comparisons import Bootstrap
from equipoise.reporting.contamination import contamination_table
from equipoise.reporting.experiments import second_model
from equipoise.reporting.facts import cost_table
from equipoise.reporting.figure import Figure, write_figure
from equipoise.reporting.figures import influence_figures, score_figures
from equipoise.reporting.influence import Influence
from equipoise.reporting.page import write_page
from equipoise.reporting.render import write_table
from equipoise.reporting.score_tables import score_tables
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.selected_examples import selected_examples
from equipoise.reporting.selection_audit import audit_table
from equipoise.reporting.side_by_side import side_by_side, thi_side_by_side
from equipoise.reporting.statistics_tables import statistics_tables
from equipoise.reporting.summary import summary
from equipoise.reporting.tables import Table
from equipoise.seeds import derive_seed


def report(config: Experiment) -> None:
    """Writes everything below <results>/<experiment>/report/; the page comes last.

    Raises `UserError` naming the file when a score, sample, ranking, selection or the matrix is missing or does not fit.
    """
    folder = Path(config.layout.report)
    bootstrap, rows = _bootstrap(config)
    with atomic_path(folder / "scores.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False, lineterminator="\n")
    statistics = _statistics(config, bootstrap)
    figures = _figures(config, {table.name: table.frame for table in statistics})
    frames = {figure.name: figure.frame for figure in figures}
    tables = _tables(config, bootstrap, statistics, frames)
    for table in tables:
        write_table(table, folder / "tables")
    svgs = _write_figures(figures, folder / "figures")
    _remove_strangers(config, folder)
    sentences = summary(config, frames | {table.name: table.frame for table in tables})
    page = write_page(config, folder / "index.html", sentences, tables, list(zip(figures, svgs, strict=True)), selected_examples(config))
    log(f"report: {page}")


def figures(config: Experiment) -> None:
    """Draws the figures alone, anew."""
    folder = Path(config.layout.report)
    bootstrap, _ = _bootstrap(config)
    statistics = {table.name: table.frame for table in _statistics(config, bootstrap)}
    _write_figures(_figures(config, statistics), folder / "figures")


def _bootstrap(config: Experiment) -> tuple[Bootstrap, list[dict[str, object]]]:
    evaluation = read_evaluation(config)
    return Bootstrap(evaluation, derive_seed(config.seed, "report", "bootstrap")), evaluation.rows


def _statistics(config: Experiment, bootstrap: Bootstrap) -> list[Table]:
    return statistics_tables(bootstrap, [budget_label(budget) for budget in config.budgets])


def _remove_strangers(config: Experiment, folder: Path) -> None:
    """Deletes tables and figures that this configuration has not: left by another sweep, they would pass for its results."""
    known = {folder / file for result in results(config) for file in result.files}
    for path in sorted(path for kind in ("tables", "figures") for path in (folder / kind).iterdir()):
        if path.is_file() and path not in known:
            path.unlink()
            log(f"report: removed {path}, which is not of this configuration")


def _tables(config: Experiment, bootstrap: Bootstrap, statistics: list[Table], figures: dict[str, pd.DataFrame]) -> list[Table]:
    other = second_model(config)
    scores = score_tables(config, bootstrap, (other, Bootstrap(read_evaluation(other))) if other else None)
    every = next(table for table in scores if table.name == "table_2_selectors")
    more = [
        side_by_side(config, every.frame),
        thi_side_by_side(config, figures),
        contamination_table(config),
        audit_table(config),
        answer_table(config, bootstrap),
        cost_table(config),
    ]
    return [*scores, *statistics, *(table for table in more if table is not None)]


def _figures(config: Experiment, statistics: dict[str, pd.DataFrame]) -> list[Figure]:
    import pyarrow.parquet as pq

    influence = Influence(config)
    sources = pq.read_table(influence.layout.pool, columns=["source"])["source"].to_numpy(zero_copy_only=False)
    return score_figures(config, statistics) + influence_figures(config, influence, sources)


def _write_figures(found: list[Figure], folder: Path) -> list[str]:
    return [write_figure(figure, folder) for figure in track(found, "draw figures", len(found), unit="figures")]
