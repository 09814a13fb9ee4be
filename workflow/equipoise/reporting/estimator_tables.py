"""Tables of the comparison of estimators."""

from typing import Any

import pandas as pd

from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table
from equipoise.reporting.validated import Validated
from equipoise.validation.results import ENOUGH

SUBSETS = "subsets"


def _told(validated: Validated) -> str:
    """Words about the ceiling, which belongs beside every LDS."""
    if validated.ceiling is None:
        return ""
    mean = validated.ceiling["mean"]
    said = (
        f" Ceiling of LDS: {mean:.2f}, the agreement of the losses with those that as many other seeds would give; a prediction without "
        f"any error reaches its root, {max(mean, 0) ** 0.5:.2f}."
    )
    if mean < ENOUGH:
        said += f" It is below {ENOUGH:g}: no estimator can be judged by LDS before there are more seeds or subsets."
    return said


def table_estimators(material: Material) -> Table:
    """What every estimator of influence, and what else could rank the pool, is worth by each measure, with 95 % intervals from a bootstrap
    over rows, subsets or random choices and over validation examples; differences are from the experiment's own estimator, paired over the
    same draws. One step: rank correlation over pool rows between predicted influence and the fall of a validation example's loss by one
    optimizer step on the row. LDS: the same over random subsets of the pool, after fine-tuning on each."""
    validated = material.validated
    lines = [
        {
            "measure": each.title,
            "label": validated.labels[each.candidate],
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "difference": each.difference,
            "difference_low": each.difference_low,
            "difference_high": each.difference_high,
            "ceiling": validated.ceiling["mean"] if validated.ceiling and each.measure == SUBSETS else None,
        }
        for each in validated.results
    ]
    columns = (
        Column("label", "Estimator or baseline"),
        Column("value", "Value", 3, best=True),
        Column("low", "Low", 3),
        Column("high", "High", 3),
        Column("difference", f"Minus {validated.reference}", 3, sign=True),
        Column("difference_low", "Low", 3, sign=True),
        Column("difference_high", "High", 3, sign=True),
        Column("ceiling", "Ceiling", 2),
    )
    return Table(_told(validated).strip(), _numbers(lines), columns, group="measure")


def table_estimators_by_task(material: Material) -> Table:
    """The same measures by task: means over the task's validation examples. Ceilings of LDS stand in its last line."""
    validated = material.validated
    tasks = list(material.config.tasks)
    lines = []
    for title in dict.fromkeys(each.title for each in validated.results):
        own = [each for each in validated.results if each.title == title]
        lines += [{"measure": title, "label": validated.labels[each.candidate], "competes": True, **each.by_task} for each in own]
        if own[0].measure == SUBSETS and validated.ceiling:
            lines.append({"measure": title, "label": "ceiling", "competes": False, **validated.ceiling["by_task"]})
    frame = _numbers(lines).reindex(columns=["measure", "label", "competes", *tasks])
    return Table(
        "", frame, (Column("label", "Estimator or baseline"), *(Column(task, task, 3, best=True) for task in tasks)), "measure", "competes"
    )


def _numbers(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Unknown numbers are NaN."""
    frame = pd.DataFrame(lines)
    texts = ["measure", "label", "competes"]
    return frame.assign(**{name: pd.to_numeric(frame[name]).astype(float) for name in frame.columns if name not in texts})
