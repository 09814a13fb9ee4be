"""Tables 1 to 4, from the bootstrap over an evaluation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.arms import ABLATION, CHANCE, LESS, Arm, budget_order, names_that
from equipoise.reporting.bootstrap import Bootstrap
from equipoise.reporting.labels import NO_BUDGET, arm_label, budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table


def table_1_less_and_random(material: Material) -> Table:
    """Does LESS (task-wise max) beat random selection?"""
    config = material.config
    rows = _rows(config, material.bootstrap, (CHANCE, LESS))
    return _table(material, [row for row in rows if row["epochs"] == config.finetune.epochs])


def table_2_selectors(material: Material) -> Table:
    """Every selector at every budget, with the runs of other epochs, the full pool and the untouched model as anchors."""
    return _table(material, _rows(material.config, material.bootstrap))


def table_3_ablation(material: Material) -> Table:
    """What normalisation and iterative selection contribute: Unnormalized, Normalized and BIDS."""
    return _table(material, _rows(material.config, material.bootstrap, ABLATION))


def table_4_model(material: Material) -> Table:
    """The rows that the paper shows for its second model, here for this experiment's model and, below it, for that of the experiment that
    report.second_model names, if it names one."""
    sides = [(material.config, material.bootstrap), *([material.second] if material.second else [])]
    shown = (CHANCE, *ABLATION, *names_that(trains=True, swept=False))
    rows = []
    for config, bootstrap in sides:
        for row in _rows(config, bootstrap, shown):
            group = f"{config.model.name}, {row['group']}" if len(sides) > 1 else row["group"]
            rows.append(row | {"group": group, "model": config.model.name})
    return _table(material, rows)


def _table(material: Material, rows: list[dict[str, object]]) -> Table:
    tasks = material.bootstrap.evaluation.tasks
    models = " and ".join(dict.fromkeys(str(row.get("model", material.config.model.name)) for row in rows))
    caption = (
        "Mean over runs, ± standard deviation over runs (fine-tuning seeds, and selection seeds of Random), in points of 100; "
        f"model {models}. The highest number of a budget is bold and the second underlined: neither is a claim, and anchors do not compete."
    )
    columns = [Column("label", "Selector")]
    columns += [Column(task, task, 1, f"{task}_sd", best=True) for task in tasks]
    columns.append(Column("macro", "Macro avg.", 1, "macro_sd", best=True))
    return Table(caption, pd.DataFrame(rows), tuple(columns), group="group", competes="competes")


def _rows(config: Experiment, bootstrap: Bootstrap, selectors: Sequence[str] | None = None) -> list[dict[str, object]]:
    """Rows of the arms of some selectors (none: of all), in table order."""
    arms = [arm for arm in bootstrap.arms if selectors is None or arm.selector in selectors]
    return [score_row(config, bootstrap, arm) for arm in sorted(arms, key=_table_order)]


def _table_order(arm: Arm) -> tuple[bool, bool, tuple[bool, float]]:
    """The untrained model first, then shares and counts in ascending order, the full pool last."""
    return arm.facts.trains, arm.whole_pool, budget_order(arm.budget)


def score_row(config: Experiment, bootstrap: Bootstrap, arm: Arm) -> dict[str, object]:
    """One row of a score table: labels, mean and sd over runs of every task and of the macro average, in points."""
    scores = bootstrap.scores[list(arm.runs)]
    several = len(arm.runs) > 1
    row: dict[str, object] = {
        "group": budget_text(arm.budget) if arm.facts.swept else "Full pool" if arm.whole_pool else NO_BUDGET,
        "label": arm_label(arm.selector, arm.epochs, config.finetune.epochs),
        "selector": arm.selector,
        "budget": arm.budget,
        "epochs": arm.epochs,
        "runs": len(arm.runs),
        "competes": arm.facts.competes and arm.epochs == config.finetune.epochs,
    }
    for number, task in enumerate(bootstrap.evaluation.tasks):
        row[task] = scores[:, number].mean()
        row[f"{task}_sd"] = scores[:, number].std(ddof=1) if several else np.nan
    row["macro"] = scores.mean()
    row["macro_sd"] = scores.mean(axis=1).std(ddof=1) if several else np.nan
    return row
