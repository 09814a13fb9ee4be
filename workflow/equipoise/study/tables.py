"""Tables of a study: macro averages by arm over pools, and differences paired by pool. Values in, text out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from equipoise.reporting.statistics import holm
from equipoise.selectors import selector as find_selector
from equipoise.study.one_pool import Arm

LEVEL = 0.95
Key = tuple[str, str, str]
"""Estimator (empty: looks at no influence), selector, budget."""


@dataclass(frozen=True)
class Pool:
    """A finished pool."""

    profile: str
    seed: int
    arms: list[Arm]


@dataclass(frozen=True)
class Cell:
    """Macro average of an arm: mean and standard deviation over pools, in points. deviation: None for one pool."""

    profile: str
    estimator: str
    selector: str
    budget: str
    pools: int
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Made:
    """What a study found: its tables as text, and their values as JSON has them."""

    text: str
    values: dict[str, Any]


def macros(pool: Pool) -> dict[Key, float]:
    """Macro average over tasks of every arm, averaged over its runs (selection and fine-tuning seeds)."""
    values: dict[Key, list[float]] = {}
    for arm in pool.arms:
        values.setdefault((arm.estimator, arm.selector, arm.budget), []).append(arm.macro)
    return {key: fmean(runs) for key, runs in values.items()}


def gather(pools: Sequence[Pool]) -> list[Cell]:
    """Cells of a study, in order of first appearance."""
    values: dict[tuple[str, str, str, str], list[float]] = {}
    for pool in pools:
        for key, macro in macros(pool).items():
            values.setdefault((pool.profile, *key), []).append(macro)
    return [Cell(*key, len(found), fmean(found), stdev(found) if len(found) > 1 else None) for key, found in values.items()]


def markdown(cells: Sequence[Cell]) -> str:
    """One table per profile: arms down, budgets across, `mean ± deviation`; selectors without a budget are in the first column."""
    parts, several = [], len({cell.estimator for cell in cells if cell.estimator}) > 1
    for profile in dict.fromkeys(cell.profile for cell in cells):
        own = [cell for cell in cells if cell.profile == profile]
        budgets = sorted({cell.budget for cell in own if find_selector(cell.selector).swept}, key=float)
        names = [budget_name(budget) for budget in budgets]
        by_place = {(cell.estimator, cell.selector, cell.budget): cell for cell in own}
        lines = [
            f"Macro average of {profile} pools, mean ± standard deviation over {max(cell.pools for cell in own)} pool seeds:",
            "",
            f"|{' estimator |' if several else ''} selector | {' | '.join(names)} |",
            f"|{'---|' if several else ''}---{'|---' * len(budgets)}|",
        ]
        for estimator, name in dict.fromkeys((cell.estimator, cell.selector) for cell in own):
            if not find_selector(name).swept:
                cell = next(cell for cell in own if cell.selector == name)
                texts = [_text(cell), *[""] * (len(budgets) - 1)]
            else:
                found = [by_place.get((estimator, name, budget)) for budget in budgets]
                texts = [_text(cell) if cell else "" for cell in found]
            lines.append(f"|{f' {estimator} |' if several else ''} {name} | {' | '.join(texts)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def budget_name(budget: str) -> str:
    """A budget as tables name it."""
    return f"{float(budget) * 100:g} %" if "." in budget else f"{budget} rows"


def _text(cell: Cell) -> str:
    return f"{cell.mean:.1f}" + ("" if cell.deviation is None else f" ± {cell.deviation:.1f}")


@dataclass(frozen=True)
class Difference:
    """One arm minus another, mean over budgets and then over pools, in points; pools are the unit.

    low, high: of Student's t over pools at `LEVEL`. p: of the t-test of no difference, adjusted by Holm over the table. ahead: pools in
    which the first is ahead. by_profile: mean difference of each profile's pools.
    """

    arm: tuple[str, str]
    other: tuple[str, str]
    mean: float
    low: float
    high: float
    p: float
    ahead: int
    pools: int
    by_profile: Mapping[str, float]


def differences(pools: Sequence[Pool], pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]]) -> list[Difference]:
    """Of pairs of arms (estimator, selector), over at least two pools."""
    from scipy.stats import t

    budgets = [macros(pool) for pool in pools]
    profiles = np.array([pool.profile for pool in pools])
    made = []
    for one, other in pairs:
        apart = np.array([_over_budgets(values, one) - _over_budgets(values, other) for values in budgets])
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        reach = t.ppf((1 + LEVEL) / 2, len(apart) - 1) * error
        p = float(2 * t.sf(abs(apart.mean()) / error, len(apart) - 1)) if error > 0 else float(not apart.any())
        by_profile = {name: float(apart[profiles == name].mean()) for name in dict.fromkeys(profiles.tolist())}
        low, high = float(apart.mean() - reach), float(apart.mean() + reach)
        made.append(Difference(one, other, float(apart.mean()), low, high, p, int((apart > 0).sum()), len(apart), by_profile))
    adjusted = holm([each.p for each in made])
    return [Difference(**(vars(each) | {"p": float(p)})) for each, p in zip(made, adjusted, strict=True)]


def _over_budgets(values: Mapping[Key, float], arm: tuple[str, str]) -> float:
    return fmean(value for (estimator, name, _), value in values.items() if (estimator, name) == arm)


def differences_markdown(made: Sequence[Difference]) -> str:
    """A line a difference."""
    profiles = list(made[0].by_profile)
    lines = [
        f"| arm | minus | difference ({LEVEL:.0%}) | {' | '.join(profiles)} | pools ahead | p, by Holm |",
        f"|---|---|---{'|---' * len(profiles)}|---|---|",
    ]
    for each in made:
        own = " | ".join(f"{each.by_profile[name]:+.1f}" for name in profiles)
        span = f"{each.mean:+.1f} ({each.low:+.1f} to {each.high:+.1f})"
        lines.append(f"| {named(each.arm)} | {named(each.other)} | {span} | {own} | {each.ahead} of {each.pools} | {each.p:.3f} |")
    return "\n".join(lines) + "\n"


def named(arm: tuple[str, str]) -> str:
    """An arm in words."""
    return " ".join(part for part in arm if part)
