"""The statistics tables: comparisons, macro averages, ranks and balance, from the bootstrap over an evaluation."""

from collections.abc import Sequence

import pandas as pd

from equipoise.reporting.comparisons import Bootstrap, balances, compare_selectors, compare_with, macro_averages, ranks
from equipoise.reporting.labels import NO_BUDGET, budget_text, short_label
from equipoise.reporting.tables import Column, Table

COMPARISON = (
    Column("label", "Selector"),
    Column("epochs", "Epochs", 0),
    Column("against", "Against"),
    Column("difference", "Difference", 2, sign=True),
    Column("low", "Low", 2, sign=True),
    Column("high", "High", 2, sign=True),
    Column("claim", "Verdict"),
    Column("p_bootstrap", "p bootstrap", 4),
    Column("p_runs", "p runs", 4),
    Column("p_holm", "p (Holm)", 4),
    Column("interval", "Interval over"),
)
WHY_TWO = (
    "claims rest on the larger of the bootstrap's p and that of Welch's t-test over runs, as a bootstrap of few runs finds too much, "
    "so an interval may leave out 0 where nothing is claimed"
)


def statistics_tables(bootstrap: Bootstrap, budgets: Sequence[str]) -> list[Table]:
    """Comparisons, macro averages, ranks and balance, each as far as the experiment's arms allow."""
    rows = [
        (_comparison_table, compare_selectors(bootstrap)),
        (_bids_table, compare_with(bootstrap, "bids")),
        (_macro_table, macro_averages(bootstrap)),
        (_rank_table, ranks(bootstrap, budgets)),
        (_balance_table, balances(bootstrap)),
    ]
    return [build(_labelled(found), bootstrap.draws) for build, found in rows if found]


def _labelled(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame.insert(0, "label", [short_label(name) for name in frame["selector"]])
    shown = [
        NO_BUDGET if name in ("zero_shot", "full") else budget_text(budget)
        for name, budget in zip(frame["selector"], frame["budget"], strict=True)
    ]
    frame.insert(0, "group", shown)
    return frame.sort_values("group", key=lambda column: [_group_order(text) for text in column], kind="stable").reset_index(drop=True)


def _group_order(text: str) -> float:
    return -1.0 if text == NO_BUDGET else float(text.split()[0].replace(",", ""))


def _comparison_table(frame: pd.DataFrame, draws: int) -> Table:
    frame = frame.assign(against=[short_label(name) for name in frame["baseline"]])
    tested = int(frame["p"].notna().sum())
    caption = (
        f"Difference of macro averages with 95 % interval and two-sided p from {draws:,} paired bootstrap draws over runs and items, and "
        f"p of the runs alone; {WHY_TWO}. Adjusted by Holm over all {tested} comparisons. Chance of a run on an item enters both "
        "resamplings, so intervals are too wide where it dominates (99 to 100 % hold the truth in simulations), and somewhat too narrow "
        "where three seeds scatter far more than their items explain (about 90 %)."
    )
    return Table("statistics_comparisons", "Comparisons with random and with LESS.", caption, frame, COMPARISON, group="group")


def _bids_table(frame: pd.DataFrame, draws: int) -> Table:
    against = [
        short_label(name) + (f", {epochs} epochs" if epochs != own else "")
        for name, epochs, own in zip(frame["baseline"], frame["baseline_epochs"], frame["epochs"], strict=True)
    ]
    caption = (
        f"BIDS against the other selectors at the same budget, and its largest budget against the full pool; {draws:,} paired bootstrap "
        f"draws; {WHY_TWO}. Adjusted by Holm over these {int(frame['p'].notna().sum())} comparisons, a family of their own."
    )
    return Table("statistics_bids", "BIDS against everything else.", caption, frame.assign(against=against), COMPARISON, group="group")


def _macro_table(frame: pd.DataFrame, draws: int) -> Table:
    caption = (
        "Macro average of every arm: standard deviation over runs, standard error over items (closed form), standard error and 95 % "
        f"interval of {draws:,} bootstrap draws."
    )
    columns = (
        Column("label", "Selector"),
        Column("epochs", "Epochs", 0),
        Column("runs", "Runs", 0),
        Column("macro", "Macro avg.", 2),
        Column("sd", "SD runs", 2),
        Column("se_items", "SE items", 2),
        Column("se", "SE bootstrap", 2),
        Column("low", "Low", 2),
        Column("high", "High", 2),
        Column("interval", "Interval over"),
    )
    return Table("statistics_macro", "Macro averages and their errors.", caption, frame, columns, group="group")


def _rank_table(frame: pd.DataFrame, draws: int) -> Table:
    caption = f"Rank by macro average within a budget (1 is best): observed, and over {draws:,} bootstrap draws."
    columns = (
        Column("label", "Selector"),
        Column("rank", "Rank", 1),
        Column("mean_rank", "Mean rank", 2),
        Column("low", "Low", 1),
        Column("high", "High", 1),
        Column("best_share", "Share of draws first", 2),
        Column("interval", "Interval over"),
    )
    return Table("statistics_ranks", "Ranks.", caption, frame, columns, group="group")


def _balance_table(frame: pd.DataFrame, draws: int) -> Table:
    caption = (
        "Gain over random per task: its mean, its standard deviation over tasks (smaller is more balanced) beside the one that noise alone "
        f"gives in {draws:,} bootstrap draws, p of that noise giving the observed one (Holm over all rows), and the smallest gain with "
        "its task "
        "and the 95 % interval of the gain on that task."
    )
    columns = (
        Column("label", "Selector"),
        Column("epochs", "Epochs", 0),
        Column("mean_gain", "Mean gain", 2, sign=True),
        Column("sd", "SD over tasks", 2),
        Column("sd_noise", "SD of noise", 2),
        Column("p_uneven_holm", "p uneven (Holm)", 4),
        Column("minimum", "Smallest gain", 2, sign=True),
        Column("worst_task", "on task"),
        Column("minimum_low", "Low", 2, sign=True),
        Column("minimum_high", "High", 2, sign=True),
        Column("interval", "Interval over"),
    )
    return Table("statistics_balance", "Balance.", caption, frame, columns, group="group")
