"""Which figures an experiment's report has, made from its evaluation and its matrix."""

import numpy as np
import pandas as pd

from equipoise.budgets import budget_rows
from equipoise.config import Experiment
from equipoise.reporting import plot_influence, plot_scores, plot_selections
from equipoise.reporting.arms import ABLATION
from equipoise.reporting.catalogue import shown_budget
from equipoise.reporting.figure import Figure
from equipoise.reporting.influence import Influence
from equipoise.reporting.labels import budget_text
from equipoise.reporting.published import published_thi


def score_figures(config: Experiment, statistics: dict[str, pd.DataFrame]) -> list[Figure]:
    """Figures of scores; `statistics` holds the frames of the statistics tables by table name."""
    figures = [plot_scores.score_by_budget(statistics["statistics_macro"], config.finetune.epochs)]
    if "statistics_comparisons" in statistics:
        figures.append(plot_scores.differences(statistics["statistics_comparisons"]))
    if "statistics_ranks" in statistics:
        figures.append(plot_scores.rank_plot(statistics["statistics_ranks"]))
    return figures


def influence_figures(config: Experiment, influence: Influence, sources: np.ndarray) -> list[Figure]:
    """Figures of influence and of selections; `sources` names the source of every pool row."""
    budget = shown_budget(config)
    valid = int(influence.matrix.valid.sum())
    rows = budget_rows(float(budget) if "." in budget else int(budget), valid)
    deepest = max(budget_rows(b, valid) for b in config.budgets)
    text = budget_text(budget)
    figures = [plot_influence.aid_pool(influence.aid_pool(), valid)]
    if "task_max" in config.selectors:
        figures.append(plot_influence.thi_less(influence.thi_less(rows), text, published_thi(config, "task_max", budget)))
    if set(ABLATION) & set(config.selectors):
        published = {name: published_thi(config, name, budget) for name in ABLATION}
        figures.append(plot_influence.thi_ablation(influence.thi_ablation(rows), text, config.selection.normalisation, published))
        figures.append(plot_influence.aid_ablation(influence.aid_normalised(rows), text))
    figures.append(plot_influence.normality(*influence.normality(config.seed)))
    if influence.selectors:
        figures.append(plot_selections.along_ranking(influence.along_ranking(deepest)))
        figures.append(plot_selections.source_composition(influence.sources(sources, rows), text))
        figures.append(plot_selections.pool_map(influence.pool_map(sources, rows, config.seed), text))
    if "bids" in config.selectors:
        figures.append(plot_selections.steps_served(influence.steps_served(deepest), "bids"))
    if len(influence.selectors) > 1:
        figures.append(plot_selections.overlap(influence.overlap(rows), text))
    return figures
