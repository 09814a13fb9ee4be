"""Tables 1 to 4, from the bootstrap over an evaluation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from equipoise.config import Experiment
from equipoise.measures import ACCURACY, LOSS
from equipoise.reporting.arms import ABLATION, CHANCE, LESS, Arm, budget_order, names_that
from equipoise.reporting.bootstrap import Bootstrap
from equipoise.reporting.labels import NO_BUDGET, arm_label, budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table


def table_1_less_and_random(material: Material) -> Table:
    """Does LESS (task-wise max) beat random selection?"""
    config = material.config
    rows = _rows(config, material.bootstraps, (CHANCE, LESS))
    return _table(material, [row for row in rows if row["epochs"] == config.finetune.epochs])


def table_2_selectors(material: Material) -> Table:
    """Every selector at every budget, with the runs of other epochs, the full pool and the untouched model as anchors."""
    return _table(material, _rows(material.config, material.bootstraps))


def table_3_ablation(material: Material) -> Table:
    """What normalisation and iterative selection contribute: Unnormalized, Normalized and BIDS."""
    return _table(material, _rows(material.config, material.bootstraps, ABLATION))


def table_4_model(material: Material) -> Table:
    """The rows that the paper shows for its second model, here for this experiment's model and, below it, for that of the experiment that
    report.second_model names, if it names one."""
    sides = [(material.config, material.bootstraps), *([material.second] if material.second else [])]
    shown = (CHANCE, *ABLATION, *names_that(trains=True, swept=False))
    rows = []
    for config, bootstraps in sides:
        for row in _rows(config, bootstraps, shown):
            group = f"{config.model.name}, {row['group']}" if len(sides) > 1 else row["group"]
            rows.append(row | {"group": group, "model": config.model.name})
    return _table(material, rows)


def _table(material: Material, rows: list[dict[str, object]]) -> Table:
    models = " and ".join(dict.fromkeys(str(row.get("model", material.config.model.name)) for row in rows))
    caption = (
        f"Mean over runs, ± standard deviation over runs (fine-tuning seeds, and selection seeds of Random), in {_units(material)}; "
        f"model {models}. The {_tops(material)} number of a budget is bold and the second underlined: neither is a claim, and anchors do "
        "not compete."
    )
    averages, tasks = [Column("label", "Selector")], []
    for bootstrap in material.bootstraps:
        measure = bootstrap.measure
        known = {"digits": measure.digits, "best": True, "lowest": measure.sign < 0}
        said = f", {measure.label}" if measure is not ACCURACY else ""
        averages.append(Column(f"macro{measure.key}", measure.header, spread=f"macro{measure.key}_sd", **known))
        for task in bootstrap.evaluation.tasks:
            tasks.append(Column(f"{task}{measure.key}", f"{task}{said}", spread=f"{task}{measure.key}_sd", **known))
    return Table(caption, pd.DataFrame(rows), (*averages, *tasks), group="group", competes="competes")


def _units(material: Material) -> str:
    units = {ACCURACY: "points of 100", LOSS: f"{LOSS.unit} for {LOSS.label} (lower is better)"}
    return " and ".join(units[bootstrap.measure] for bootstrap in material.bootstraps)


def _tops(material: Material) -> str:
    return " (of a loss: ".join(bootstrap.measure.top for bootstrap in material.bootstraps) + ")" * (len(material.bootstraps) - 1)


def _rows(config: Experiment, bootstraps: Sequence[Bootstrap], selectors: Sequence[str] | None = None) -> list[dict[str, object]]:
    """Rows of the arms of some selectors (none: of all), in table order; the measures of an arm in one row."""
    arms = [arm for arm in bootstraps[0].arms if selectors is None or arm.selector in selectors]
    return [
        {key: value for bootstrap in bootstraps for key, value in score_row(config, bootstrap, arm).items()}
        for arm in sorted(arms, key=_table_order)
    ]


def _table_order(arm: Arm) -> tuple[bool, bool, tuple[bool, float]]:
    """The untrained model first, then shares and counts in ascending order, the full pool last."""
    return arm.facts.trains, arm.whole_pool, budget_order(arm.budget)


def score_row(config: Experiment, bootstrap: Bootstrap, arm: Arm) -> dict[str, object]:
    """One row of a score table: labels, mean and sd over runs of every task and of the macro average, in the measure's unit."""
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
    key = bootstrap.measure.key
    for number, task in enumerate(bootstrap.evaluation.tasks):
        row[f"{task}{key}"] = scores[:, number].mean()
        row[f"{task}{key}_sd"] = scores[:, number].std(ddof=1) if several else np.nan
    row[f"macro{key}"] = scores.mean()
    row[f"macro{key}_sd"] = scores.mean(axis=1).std(ddof=1) if several else np.nan
    return row
