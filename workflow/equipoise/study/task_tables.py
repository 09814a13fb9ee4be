"""Scores of a study by task: what a macro average hides, above all a task that starves where tasks conflict. Values in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from equipoise.miniature.generated_pool import CONFLICT, PROFILES
from equipoise.selectors import selector as find_selector
from equipoise.study.tables import Made, Pool, budget_name, gather, markdown, named

CONFLICTING = tuple(name for name, profile in PROFILES.items() if profile.shares is CONFLICT)
"""Profiles of pools in which tasks conflict."""


@dataclass(frozen=True)
class TaskCell:
    """A task's score in an arm, in per cent: the mean over pools of the mean over runs, and the lowest pool's.

    picks: percent of the selection that comes from the task's own source, mean over pools; None where nothing was chosen.
    """

    profile: str
    estimator: str
    selector: str
    budget: str
    task: str
    pools: int
    mean: float
    lowest: float
    picks: float | None


def gather_tasks(pools: Sequence[Pool]) -> list[TaskCell]:
    """Cells of a study, in order of first appearance."""
    scores: dict[tuple[str, ...], dict[int, list[float]]] = {}
    picks: dict[tuple[str, ...], dict[int, list[float]]] = {}
    for number, pool in enumerate(pools):
        for arm in pool.arms:
            for task, score in arm.tasks.items():
                key = (pool.profile, arm.estimator, arm.selector, arm.budget, task)
                scores.setdefault(key, {}).setdefault(number, []).append(score)
                if arm.audit is not None:
                    picks.setdefault(key, {}).setdefault(number, []).append(arm.audit.get(f"from {task}", 0.0))
    cells = []
    for key, of_pools in scores.items():
        means = [fmean(runs) for runs in of_pools.values()]
        chosen = fmean(map(fmean, picks[key].values())) if key in picks else None
        cells.append(TaskCell(*key, len(means), fmean(means), min(means), chosen))
    return cells


def tables(pools: Sequence[Pool], between: str = "") -> Made:
    """Macro averages by arm, what stands `between`, and scores by task where tasks conflict."""
    text = "\n".join(filter(None, (markdown(gather(pools)), between, task_markdown(gather_tasks(pools)))))
    return Made(text, {"cells": [vars(cell) for cell in gather(pools)], "tasks": [vars(cell) for cell in gather_tasks(pools)]})


def task_markdown(cells: Sequence[TaskCell], profiles: Sequence[str] = CONFLICTING) -> str:
    """A table for every budget of these profiles' pools: arms down, tasks across, score and in brackets the task's share of the picks.
    What is run at one budget alone stands in each. Empty where no pool is of such a profile.
    """
    parts = []
    for profile in profiles:
        of_profile = [cell for cell in cells if cell.profile == profile]
        for budget in dict.fromkeys(cell.budget for cell in of_profile if find_selector(cell.selector).swept):
            own = [cell for cell in of_profile if cell.budget == budget or not find_selector(cell.selector).swept]
            tasks = list(dict.fromkeys(cell.task for cell in own))
            by_place = {(cell.estimator, cell.selector, cell.task): cell for cell in own}
            lines = [
                f"Scores by task on {profile} pools at {budget_name(budget)}, mean over {max(cell.pools for cell in own)} pool seeds; in "
                "brackets the percent of the picks that are rows of the task:",
                "",
                f"| arm | {' | '.join(tasks)} |",
                f"|---{'|---' * len(tasks)}|",
            ]
            for estimator, selector in dict.fromkeys((cell.estimator, cell.selector) for cell in own):
                texts = [_text(by_place.get((estimator, selector, task))) for task in tasks]
                lines.append(f"| {named((estimator, selector))} | {' | '.join(texts)} |")
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _text(cell: TaskCell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.mean:.1f}" + ("" if cell.picks is None else f" ({cell.picks:.1f})")
