"""The qualitative tables (the paper's Tables 5 to 7): pairs of answers to one prompt, one run right, the other wrong.

The rule, the same for every task and without a reader's choice: A is BIDS and B the full pool (else random, else the next selector),
each at its largest budget and most epochs. Among the items that all runs of A get right and all runs of B get wrong (else: where A's
share of right runs exceeds B's most) those with the smallest content hash are shown, and as many of the reverse, with the number of items
of either kind.
"""

import numpy as np
import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.comparisons import Arm, Bootstrap
from equipoise.reporting.labels import budget_text, short_label
from equipoise.reporting.scores import read_answers
from equipoise.reporting.tables import Column, Table

PAIRS = 2  # shown a task and direction
CHARACTERS = 700


def answer_table(config: Experiment, bootstrap: Bootstrap) -> Table | None:
    """Pairs of answers grouped by capability; none when the experiment has fewer than two arms to oppose."""
    arms = _opposed(bootstrap)
    if arms is None:
        return None
    names = [_arm_text(arm) for arm in arms]
    lines = [line for task in bootstrap.evaluation.tasks for line in _task_lines(config, bootstrap, task, *arms)]
    if not lines:
        return None
    caption = (
        f"Answers to the same prompt of {names[0]} (A) and {names[1]} (B), with the checker's verdict, from the logged samples of each side's first "
        f"run. Rule: of the items all runs of one side get right and all runs of the other wrong, the {PAIRS} with the smallest content hash, in "
        "both directions; where there is none, those with the largest difference in the share of right runs. The column Items tells how many "
        "items of a task favour that direction by this rule; the pairs illustrate, the tables above measure."
    )
    columns = (
        Column("task", "Task"),
        Column("right", "Right"),
        Column("items", "Items", 0),
        Column("prompt", "Prompt", text=True),
        Column("target", "Target", text=True),
        Column("answer_a", "Answer A", text=True),
        Column("verdict_a", "A"),
        Column("answer_b", "Answer B", text=True),
        Column("verdict_b", "B"),
    )
    frame = pd.DataFrame(lines).sort_values(
        "capability", kind="stable", key=lambda c: c.map({n: i for i, n in enumerate(dict.fromkeys(c))})
    )
    return Table("tables_5_to_7_answers", "Tables 5 to 7. Right and wrong answers.", caption, frame, columns, group="capability")


def _opposed(bootstrap: Bootstrap) -> tuple[Arm, Arm] | None:
    by_name: dict[str, Arm] = {}
    for arm in sorted(bootstrap.arms, key=lambda a: (float(a.budget), a.epochs)):
        by_name[arm.selector] = arm
    first = by_name.get("bids")
    others = [by_name[name] for name in ("full", "random", *by_name) if name in by_name and name not in ("bids", "zero_shot")]
    return (first, others[0]) if first and others else None


def _arm_text(arm: Arm) -> str:
    budget = "" if arm.selector == "full" else f" at {budget_text(arm.budget)}"
    return f"{short_label(arm.selector)}{budget}, {arm.epochs} epochs"


def chosen_items(a: np.ndarray, b: np.ndarray, hashes: list[str], pairs: int = PAIRS) -> tuple[list[int], int]:
    """Items that side a gets right and b wrong.

    a, b: share of right answers over runs, float [items]; hashes: content hash per item. Returns up to `pairs` places and how many
    items favour a by the rule (all runs right against all wrong, or, where no item does, any positive difference).
    """
    clear = np.flatnonzero((a >= 1) & (b <= 0))
    if len(clear):
        return sorted(clear.tolist(), key=hashes.__getitem__)[:pairs], len(clear)
    better = np.flatnonzero(a > b)
    return sorted(better.tolist(), key=lambda item: (b[item] - a[item], hashes[item]))[:pairs], len(better)


def _task_lines(config: Experiment, bootstrap: Bootstrap, task: str, one: Arm, other: Arm) -> list[dict[str, object]]:
    evaluation = bootstrap.evaluation
    keys = evaluation.items[task]
    shares = [evaluation.scores[task][list(arm.runs)].mean(axis=(0, 1)) for arm in (one, other)]
    directions = [(place, chosen_items(*sides, [key[2] for key in keys])) for place, sides in enumerate((shares, shares[::-1]))]
    if not any(items for _, (items, _) in directions):
        return []
    answers = [read_answers(config, evaluation.runs[arm.runs[0]], task) for arm in (one, other)]
    lines = []
    for place, (items, count) in directions:
        for item in items:
            samples = [answer[keys[item]] for answer in answers]
            lines.append(
                {
                    "capability": config.tasks[task].capability,
                    "task": task,
                    "right": "AB"[place],
                    "items": count,
                    "content_hash": keys[item][2],
                    "prompt": _cut(samples[0]["prompt"]),
                    "target": _cut(samples[0]["target"]),
                    "answer_a": _cut(samples[0]["response"]),
                    "verdict_a": _verdict(samples[0]["score"]),
                    "answer_b": _cut(samples[1]["response"]),
                    "verdict_b": _verdict(samples[1]["score"]),
                }
            )
    return lines


def _verdict(score: float) -> str:
    return "right" if score >= 1 else "wrong" if score <= 0 else f"{score:.2f}"


def _cut(text: object) -> str:
    text = text if isinstance(text, str) else str(text)
    return text if len(text) <= CHARACTERS else text[: CHARACTERS // 2] + " […] " + text[-CHARACTERS // 2 :]
