"""The qualitative tables (the paper's Tables 5 to 7): pairs of answers to one prompt, one run right, the other wrong.

The rule, the same for every task and without a reader's choice: A is BIDS and B the full pool (else random, else the next selector),
each at its largest budget and most epochs. Of the items that all runs of one side get right and all runs of the other wrong, those with
the smallest content hash are shown, in both directions, with the number of items of either kind.
"""

import numpy as np
import pandas as pd

from equipoise.reporting.arms import Arm, opposed_arms
from equipoise.reporting.labels import budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.scores import read_answers
from equipoise.reporting.table import Column, Table

PAIRS = 2  # shown per task and direction
CHARACTERS = 700
KEYS = ["capability", "task", "right", "items", "content_hash", "prompt", "target"]
KEYS += ["answer_a", "verdict_a", "seed_a", "answer_b", "verdict_b", "seed_b"]


def tables_5_to_7_answers(material: Material) -> Table:
    """Answers of two arms to the same prompt, one right and one wrong in the checker's eyes, chosen by a stated rule from the logged
    samples, in both directions. The pairs illustrate; the tables of scores measure."""
    arms = opposed_arms(material.bootstrap.arms)
    names = [_arm_text(arm) for arm in arms]
    lines = [line for task in material.bootstrap.evaluation.tasks for line in _task_lines(material, task, arms)]
    caption = (
        f"Here A is {names[0]} and B is {names[1]}. Rule: of the items that all runs of one side get right and all runs of the other "
        f"wrong, the {PAIRS} with the smallest content hash; where there is none, items with the largest lead in the share of right runs. "
        "Items is the number of items of the task that favour that direction by this rule."
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
    frame = pd.DataFrame(lines, columns=KEYS)
    place = {name: number for number, name in enumerate(dict.fromkeys(frame["capability"]))}
    frame = frame.sort_values("capability", kind="stable", key=lambda names: names.map(place))
    return Table(caption, frame, columns, group="capability")


def _arm_text(arm: Arm) -> str:
    budget = f" at {budget_text(arm.budget)}" if arm.facts.swept else ""
    return f"{arm.facts.short_label}{budget}, {arm.epochs} epochs"


def chosen_items(a: np.ndarray, b: np.ndarray, hashes: list[str], pairs: int = PAIRS) -> tuple[list[int], int]:
    """Items that side a gets right and side b wrong.

    a, b: item scores of the runs of each side, float [runs, items]; hashes: content hash of each item. Returns up to `pairs` places and
    how many items favour a by the rule: all runs of a right and all of b wrong or, where no item is like that, at least one right run of
    a and one wrong run of b with a's share of right runs above b's.
    """
    right, wrong = (a >= 1).mean(axis=0), (b <= 0).mean(axis=0)
    clear = np.flatnonzero((right == 1) & (wrong == 1))
    if len(clear):
        return sorted(clear.tolist(), key=hashes.__getitem__)[:pairs], len(clear)
    lead = right - (b >= 1).mean(axis=0)
    better = np.flatnonzero((right > 0) & (wrong > 0) & (lead > 0))
    return sorted(better.tolist(), key=lambda item: (-lead[item], hashes[item]))[:pairs], len(better)


def _task_lines(material: Material, task: str, arms: tuple[Arm, Arm]) -> list[dict[str, object]]:
    """Both directions of one task; answers are those of a side's first run with the verdict the direction asks for."""
    config, evaluation = material.config, material.bootstrap.evaluation
    keys = evaluation.items[task]
    scores = [evaluation.scores[task][list(arm.runs), 0] for arm in arms]
    logged: dict[int, dict] = {}
    lines = []
    for place, name in enumerate("AB"):
        items, count = chosen_items(scores[place], scores[1 - place], [key[2] for key in keys])
        for item in items:
            line = {"capability": config.tasks[task].capability, "task": task, "right": name, "items": count, "content_hash": keys[item][2]}
            for side, arm in enumerate(arms):
                fits = scores[side][:, item] >= 1 if side == place else scores[side][:, item] <= 0
                run = arm.runs[int(np.argmax(fits))]
                if run not in logged:
                    logged[run] = read_answers(config, evaluation.runs[run], task)
                sample = logged[run][keys[item]]
                letter = "ab"[side]
                line |= {"prompt": _cut(sample["prompt"]), "target": _cut(sample["target"]), f"answer_{letter}": _cut(sample["response"])}
                line |= {f"verdict_{letter}": _verdict(sample["score"]), f"seed_{letter}": evaluation.runs[run].seed}
            lines.append(line)
    return lines


def _verdict(score: float) -> str:
    return "right" if score >= 1 else "wrong" if score <= 0 else f"{score:.2f}"


def _cut(text: object) -> str:
    text = "" if text is None else str(text)
    return text if len(text) <= CHARACTERS else text[: CHARACTERS // 2] + " […] " + text[-CHARACTERS // 2 :]
