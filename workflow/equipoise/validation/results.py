"""Results of the comparison: values with intervals and differences from the reference, all from the same draws. Arrays in, results out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equipoise.validation.statistics import Resamples, column_means, interval, rank_correlations

ENOUGH = 0.5
"""A ceiling below it is warned of."""
TITLES = {
    "one_step": "one step (rank correlation)",
    "subsets": "LDS (rank correlation)",
    "without": "loss without the top {share:.0%}, minus without random rows (nats)",
    "only": "loss with random {share:.0%} only, minus with the top rows (nats)",
}


@dataclass(frozen=True)
class Result:
    """Of one candidate by one measure: value, interval, paired difference from the reference, value by task; None where unknown."""

    measure: str
    candidate: str
    value: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    by_task: Mapping[str, float | None]
    share: float | None = None

    @property
    def title(self) -> str:
        """What the measure is called in tables."""
        return TITLES[self.measure].format(share=self.share or 0.0)

    def as_values(self) -> dict[str, Any]:
        """JSON-able, rounded to six decimals."""
        rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return rounded | {"by_task": {task: None if v is None else round(v, 6) for task, v in self.by_task.items()}}


@dataclass(frozen=True)
class Compared:
    """What the candidates of one measure share: reference (a candidate's name), tasks [V] of the columns, draws; share of removed rows."""

    measure: str
    reference: str
    tasks: np.ndarray
    draws: Resamples
    share: float | None = None


def compared_correlations(compared: Compared, predicted: Mapping[str, np.ndarray], true: np.ndarray) -> list[Result]:
    """Spearman's correlation over rows, mean over columns. predicted: [n, V] or [n, 1] by candidate; true: [n, V]."""
    values, drawn = {}, {}
    for name, each in predicted.items():
        values[name] = rank_correlations(each, true)
        drawn[name] = column_means(rank_correlations(each, true, compared.draws.rows), compared.draws.columns)
    return _results(compared, values, drawn)


def compared_effects(compared: Compared, chosen: Mapping[str, np.ndarray], random: np.ndarray, sign: int) -> list[Result]:
    """Losses after chosen rows minus the mean of those after random ones, times `sign`, mean over columns.

    chosen: [V] by candidate; random: [choices, V]. Draws of rows are draws of random choices.
    """
    if not len(random):
        random = np.full((1, len(compared.tasks)), np.nan)
    of_draws = compared.draws.rows @ random / compared.draws.rows.sum(axis=1, keepdims=True)
    values = {name: sign * (losses - random.mean(axis=0)) for name, losses in chosen.items()}
    drawn = {name: column_means(sign * (losses - of_draws), compared.draws.columns) for name, losses in chosen.items()}
    return _results(compared, values, drawn)


def _results(compared: Compared, values: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]) -> list[Result]:
    reference, found = compared.reference, []
    tasks = dict.fromkeys(compared.tasks.tolist())
    for name, each in values.items():
        other = name != reference and reference in values
        difference = each - values[reference] if other else np.full(1, np.nan)
        draws = drawn[name] - drawn[reference] if other else np.full(1, np.nan)
        found.append(
            Result(
                compared.measure,
                name,
                *_with_interval(each.mean(), drawn[name]),
                *_with_interval(difference.mean(), draws),
                {task: _finite(each[compared.tasks == task].mean()) for task in tasks},
                compared.share,
            )
        )
    return found


def _with_interval(value: float, draws: np.ndarray) -> tuple[float | None, float | None, float | None]:
    return (float(value), *interval(draws)) if np.isfinite(value) else (None, None, None)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def as_text(reference: str, results: list[Result], ceiling: Mapping[str, Any] | None) -> str:
    """The table for a terminal: a block a measure, a line a candidate."""
    lines, wide = [], max((len(result.candidate) for result in results), default=0)
    for title in dict.fromkeys(result.title for result in results):
        block = [result for result in results if result.title == title]
        said = f", ceiling {ceiling['mean']:.3f}" if ceiling and block[0].measure == "subsets" else ""
        lines.append(f"{title}{said}; difference from {reference}")
        lines += [
            f"  {each.candidate:<{wide}}  {_shown(each.value, each.low, each.high)}"
            f"  {_shown(each.difference, each.difference_low, each.difference_high)}".rstrip()
            for each in block
        ]
    return "\n".join(lines)


def _shown(value: float | None, low: float | None, high: float | None) -> str:
    return " " * 26 if value is None else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
