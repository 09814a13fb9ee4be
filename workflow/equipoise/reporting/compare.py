"""Sets two experiments side by side: what the second gives more or less than the first, arm by arm, with intervals."""

from dataclasses import replace

import pandas as pd

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import measured
from equipoise.measures import ACCURACY, LOSS, Measure
from equipoise.reporting.bootstrap import Bootstrap, difference
from equipoise.reporting.labels import NO_BUDGET, WHY_TWO, budget_text
from equipoise.reporting.scores import Evaluation, read_evaluation
from equipoise.reporting.statistics_tables import DIFFERENCE
from equipoise.reporting.table import Column, Table, lean
from equipoise.reporting.verdicts import adjust
from equipoise.seeds import derive_seed


def compare(first: Experiment, second: Experiment) -> Table:
    """Macro averages and task scores of `second` minus `first`, one row per arm that both ran, over the tasks that both evaluated.

    Items are paired where a task has the same items in both; otherwise each side's are resampled on their own. Holm over all rows.
    Raises `UserError` when no task or no arm is common.
    """
    names = _names(first, second)
    common = [measure for measure in measured(first) if measure in measured(second)]
    if not common:
        raise UserError(f"{names[0]} and {names[1]}: no common measure to compare; compare experiments that measure the same")
    parts = [_compared(first, second, names, measure) for measure in common]
    frame = pd.concat([part[0] for part in parts], ignore_index=True)
    tasks = list(dict.fromkeys(task for part in parts for task in part[1]))
    paired = [task for task in tasks if all(task in part[2] for part in parts if task in part[1])]
    return _table(frame, names, tasks, paired, common)


def _compared(first: Experiment, second: Experiment, names: list[str], measure: Measure) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The rows of one measure, its common tasks, and those of them with the same items in both."""
    evaluations = [read_evaluation(config, measure) for config in (first, second)]
    tasks = [task for task in evaluations[0].tasks if task in evaluations[1].tasks]
    if not tasks:
        raise UserError(f"{names[0]} and {names[1]}: no common task to compare; compare experiments that evaluate the same task")
    paired = [task for task in tasks if evaluations[0].items[task] == evaluations[1].items[task]]
    seed = derive_seed(first.seed, "compare")
    apart = {task: derive_seed(seed, "second", task) for task in tasks if task not in paired}
    ours, theirs = (
        Bootstrap(_restricted(evaluation, tasks), seed, item_seeds=seeds, side=side)
        for evaluation, seeds, side in zip(evaluations, ({}, apart), ("first", "second"), strict=True)
    )
    known = {arm.key: arm for arm in ours.arms}
    rows = []
    for arm in theirs.arms:
        other = known.get(arm.key)
        if other is not None:
            gains = theirs.mean(arm) - ours.mean(other)
            row: dict[str, object] = {"measure": measure.name}
            row |= {"group": budget_text(arm.budget) if arm.facts.trains else NO_BUDGET, "label": arm.facts.short_label}
            row |= {"selector": arm.selector, "budget": arm.budget, "epochs": arm.epochs}
            row |= {"first": ours.mean(other).mean(), "second": theirs.mean(arm).mean()} | difference((theirs, arm), (ours, other))
            rows.append(row | {f"gain_{task}": gain for task, gain in zip(tasks, gains, strict=True)})
    if not rows:
        raise UserError(f"{names[0]} and {names[1]}: no selector at the same budget and epochs in both; nothing to compare")
    adjust(rows, measure)
    return pd.DataFrame(rows), tasks, paired


def verdict(table: Table) -> str:
    """The comparison in a sentence."""
    said = []
    for name, rows in table.frame.groupby("measure", sort=False):
        found = [f"{word} in {count}" for word in ("higher", "lower") if (count := int((rows["verdict"] == word).sum()))]
        of = f"of {len(rows)} comparisons" + (f" by {name}" if table.frame["measure"].nunique() > 1 else "")
        said.append(f"{', '.join(found) or 'shown to differ in none'} {of}")
    return f"{table.title}: {'; '.join(said)}."


def _names(*experiments: Experiment) -> list[str]:
    """The experiments' names; their folders where both have the same name, and their models too where even these are the same."""
    folders = [config.layout.experiment_root for config in experiments]
    models = [f"{folder} ({config.model.name})" for config, folder in zip(experiments, folders, strict=True)]
    ways = ([config.experiment for config in experiments], folders, models)
    return next((names for names in ways if len(set(names)) == len(names)), folders)


def _restricted(evaluation: Evaluation, tasks: list[str]) -> Evaluation:
    kept = {task: evaluation.items[task] for task in tasks}
    return replace(evaluation, tasks=tuple(tasks), items=kept, scores={task: evaluation.scores[task] for task in tasks})


def _table(frame: pd.DataFrame, names: list[str], tasks: list[str], paired: list[str], measures: list[Measure]) -> Table:
    items = "the same items in both" if len(paired) == len(tasks) else f"the same items in both for {', '.join(paired) or 'no task'}"
    caption = (
        f"{names[1]} (second) minus {names[0]} (first): macro averages over {len(tasks)} common tasks ({items}), difference with the "
        f"verdict's interval, and the difference of every task; p adjusted by Holm over all rows. {WHY_TWO}"
    )
    columns = [Column("label", "Selector")]
    if measures != [ACCURACY]:
        caption += f" Rows of the measure loss are {LOSS.average} in {LOSS.unit}, lower is better, and a family of their own."
        columns.append(Column("measure", "Measure", context=True, decides=True))
    columns += [column for column in DIFFERENCE if column.decides]
    columns += [Column(side, side.capitalize(), 1, measured=True) for side in ("first", "second")]
    several = bool(frame.duplicated(["measure", "group", "label"]).any())  # only its epochs then tell which arm a row is
    columns += [Column("epochs", "Epochs", 0, context=True, decides=several)]
    columns += [column for column in DIFFERENCE if not column.decides]
    columns += [Column(f"gain_{task}", task, 1, measured=True, sign=True) for task in tasks]
    return lean(Table(caption, frame, tuple(columns), group="group", name="compare", title=f"{names[1]} against {names[0]}"))
