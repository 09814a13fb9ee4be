"""Tables 1 to 4 and the statistics tables, from the bootstrap over an evaluation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.arms import ABLATION, ANCHORS, Arm, budget_order
from equipoise.reporting.comparisons import Bootstrap, balances, compare_selectors, compare_with, macro_averages, ranks
from equipoise.reporting.labels import arm_label, budget_text, short_label
from equipoise.reporting.tables import Column, Table

NO_BUDGET = "Anchors"
SECOND_MODEL = ("random", *ABLATION)
COMPARISON = (
    Column("label", "Selector"),
    Column("epochs", "Epochs", 0),
    Column("against", "Against"),
    Column("difference", "Difference", 2, sign=True),
    Column("low", "Low", 2, sign=True),
    Column("high", "High", 2, sign=True),
    Column("interval", "Interval over"),
    Column("p", "p", 4),
    Column("p_holm", "p (Holm)", 4),
    Column("verdict", "Verdict"),
)


def score_tables(config: Experiment, bootstrap: Bootstrap) -> list[Table]:
    """Tables 1 (LESS and random), 2 (all), 3 (ablation) and 4 (the paper's second-model rows), as far as their selectors ran."""
    seeds = f"Mean over runs, ± standard deviation over runs (fine-tuning seeds, and selection seeds of Random); model {config.model.name}."
    marks = "Best of a budget bold, second underlined; anchors do not compete. Higher is better, points of 100."
    present = {arm.selector for arm in bootstrap.arms}
    tables = []
    if {"random", "task_max"} <= present:
        caption = f"Does LESS beat random selection? {seeds} {marks}"
        tables.append(
            _score_table(config, bootstrap, "table_1_less_and_random", "Table 1. LESS and random.", caption, ("random", "task_max"))
        )
    caption = (
        f"Every selector at every budget, with the runs of other epochs, the full pool and the untouched model as anchors. {seeds} {marks}"
    )
    tables.append(_score_table(config, bootstrap, "table_2_selectors", "Table 2. All selectors.", caption, None))
    if len(set(ABLATION) & present) > 1:
        caption = f"What normalisation and iterative selection contribute. {seeds} {marks}"
        tables.append(_score_table(config, bootstrap, "table_3_ablation", "Table 3. Ablation.", caption, ABLATION))
    if len(set(SECOND_MODEL) & present) > 1:
        caption = f"The rows the paper shows for its second model, here for {config.model.name}. {seeds} {marks}"
        chosen = (*SECOND_MODEL, "full")
        tables.append(_score_table(config, bootstrap, "table_4_model", f"Table 4. {config.model.name}.", caption, chosen))
    return tables


def _score_table(config: Experiment, bootstrap: Bootstrap, name: str, title: str, caption: str, selectors: Sequence[str] | None) -> Table:
    arms = [arm for arm in bootstrap.arms if selectors is None or arm.selector in selectors]
    arms = [arm for arm in arms if name != "table_1_less_and_random" or arm.epochs == config.finetune.epochs]
    frame = pd.DataFrame([score_row(config, bootstrap, arm) for arm in _in_table_order(config, arms)])
    columns = [Column("label", "Selector")]
    columns += [Column(task, task, 1, f"{task}_sd", best=True) for task in bootstrap.evaluation.tasks]
    columns.append(Column("macro", "Macro avg.", 1, "macro_sd", best=True))
    return Table(name, title, caption, frame, tuple(columns), group="group", competes="competes")


def _in_table_order(config: Experiment, arms: Sequence[Arm]) -> list[Arm]:
    """Zero-shot first, then budget by budget in config order, the full pool last."""
    budgets = list(dict.fromkeys(arm.budget for arm in arms if arm.selector not in ("zero_shot", "full")))
    place = {budget: number for number, budget in enumerate(sorted(budgets, key=budget_order))}
    last = {"zero_shot": -1, "full": len(place)}
    return sorted(arms, key=lambda arm: last.get(arm.selector, place.get(arm.budget, 0)))


def score_row(config: Experiment, bootstrap: Bootstrap, arm: Arm) -> dict[str, object]:
    """One row of a score table: labels, mean and sd over runs of every task and of the macro average, in points."""
    scores = bootstrap.scores[list(arm.runs)]
    several = len(arm.runs) > 1
    row: dict[str, object] = {
        "group": NO_BUDGET if arm.selector == "zero_shot" else "Full pool" if arm.selector == "full" else budget_text(arm.budget),
        "label": arm_label(arm.selector, arm.epochs, config.finetune.epochs if arm.selector != "full" else -1),
        "selector": arm.selector,
        "budget": arm.budget,
        "epochs": arm.epochs,
        "runs": len(arm.runs),
        "competes": arm.selector not in ANCHORS and arm.epochs == config.finetune.epochs,
    }
    for number, task in enumerate(bootstrap.evaluation.tasks):
        row[task] = scores[:, number].mean()
        row[f"{task}_sd"] = scores[:, number].std(ddof=1) if several else np.nan
    row["macro"] = scores.mean()
    row["macro_sd"] = scores.mean(axis=1).std(ddof=1) if several else np.nan
    return row


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
        f"Difference of macro averages with 95 % interval and two-sided p from {draws:,} paired bootstrap draws over runs and items; "
        f"p adjusted by Holm over all {tested} comparisons. Chance of a run on an item enters both resamplings: "
        "the intervals err on the wide side."
    )
    return Table("statistics_comparisons", "Comparisons with random and with LESS.", caption, frame, COMPARISON, group="group")


def _bids_table(frame: pd.DataFrame, draws: int) -> Table:
    against = [
        short_label(name) + (f", {epochs} epochs" if epochs != own else "")
        for name, epochs, own in zip(frame["baseline"], frame["baseline_epochs"], frame["epochs"], strict=True)
    ]
    caption = (
        f"BIDS against the other selectors at the same budget, and its largest budget against the full pool; {draws:,} paired bootstrap "
        "draws, "
        f"p adjusted by Holm over these {int(frame['p'].notna().sum())} comparisons, a family of their own."
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
