"""Tables 1 to 4, from the bootstrap over an evaluation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.arms import ABLATION, ANCHORS, Arm, budget_order
from equipoise.reporting.comparisons import Bootstrap
from equipoise.reporting.labels import NO_BUDGET, arm_label, budget_text
from equipoise.reporting.tables import Column, Table

SECOND_MODEL = ("random", *ABLATION)


def score_tables(config: Experiment, bootstrap: Bootstrap, second: tuple[Experiment, Bootstrap] | None = None) -> list[Table]:
    """Tables 1 (LESS and random), 2 (all), 3 (ablation) and 4 (the paper's second-model rows), as far as their selectors ran.

    second: an experiment with another model and the same tasks, shown below this one's rows in Table 4.
    """
    seeds = "Mean over runs, ± standard deviation over runs (fine-tuning seeds, and selection seeds of Random)"
    marks = "Highest number of a budget bold, second underlined, which claims nothing; anchors do not compete. Points of 100."
    said = f"{seeds}; model {config.model.name}. {marks}"
    tasks = bootstrap.evaluation.tasks
    present = {arm.selector for arm in bootstrap.arms}
    tables = []
    if {"random", "task_max"} <= present:
        rows = [row for row in _rows(config, bootstrap, ("random", "task_max")) if row["epochs"] == config.finetune.epochs]
        caption = f"Does LESS beat random selection? {said}"
        tables.append(_table("table_1_less_and_random", "Table 1. LESS and random.", caption, rows, tasks))
    caption = f"Every selector at every budget, with the runs of other epochs, the full pool and the untouched model as anchors. {said}"
    tables.append(_table("table_2_selectors", "Table 2. All selectors.", caption, _rows(config, bootstrap), tasks))
    if len(set(ABLATION) & present) > 1:
        caption = f"What normalisation and iterative selection contribute. {said}"
        tables.append(_table("table_3_ablation", "Table 3. Ablation.", caption, _rows(config, bootstrap, ABLATION), tasks))
    if len(set(SECOND_MODEL) & present) > 1:
        sides = [(config, bootstrap), *([second] if second else [])]
        names = " and ".join(side.model.name for side, _ in sides)
        caption = f"The rows the paper shows for its second model, here for {names}. {seeds}. {marks}"
        tables.append(_table("table_4_model", f"Table 4. {names}.", caption, _model_rows(sides), tasks))
    return tables


def _table(name: str, title: str, caption: str, rows: list[dict[str, object]], tasks: Sequence[str]) -> Table:
    columns = [Column("label", "Selector")]
    columns += [Column(task, task, 1, f"{task}_sd", best=True) for task in tasks]
    columns.append(Column("macro", "Macro avg.", 1, "macro_sd", best=True))
    return Table(name, title, caption, pd.DataFrame(rows), tuple(columns), group="group", competes="competes")


def _rows(config: Experiment, bootstrap: Bootstrap, selectors: Sequence[str] | None = None) -> list[dict[str, object]]:
    """Rows of the arms of some selectors (none: of all), in table order."""
    arms = [arm for arm in bootstrap.arms if selectors is None or arm.selector in selectors]
    return [score_row(config, bootstrap, arm) for arm in _in_table_order(config, arms)]


def _model_rows(sides: Sequence[tuple[Experiment, Bootstrap]]) -> list[dict[str, object]]:
    """Table 4: model by model, told apart by the groups' headings where there are two."""
    rows = []
    for config, bootstrap in sides:
        for row in _rows(config, bootstrap, (*SECOND_MODEL, "full")):
            group = f"{config.model.name}, {row['group']}" if len(sides) > 1 else row["group"]
            rows.append(row | {"group": group, "model": config.model.name})
    return rows


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
