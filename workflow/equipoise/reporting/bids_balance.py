"""Whether the balance of BIDS acts: what it picks beside the same scores without it, who wins its steps, how far M spreads."""

import numpy as np
import pandas as pd

from equipoise.budgets import budget_label, budget_rows
from equipoise.reporting.arms import STUDIED
from equipoise.reporting.figure import Figure
from equipoise.reporting.labels import budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.style import MUTED, WIDTH
from equipoise.reporting.table import Column, Table
from equipoise.selection.problem import NO_COLUMN
from equipoise.selectors import selector


def table_bids_balance(material: Material) -> Table:
    """How far the balance of BIDS acts. Shared: percent of its picks that Normalized, the same scores without the balance, picks too.
    Spread of M: standard deviation over validation examples of M, the mean normalised influence of the picks, which BIDS subtracts to
    serve those that got little; of the largest: the same of their largest normalised influence. Where the first is far below the
    second, the balance decides few steps. Busiest: percent of the steps that one validation example wins; busiest tenth: that a tenth of
    them do. Win none: validation examples that win no step."""
    influence, config = material.influence, material.config
    largest, strongest = influence.largest_normalised
    order = np.argsort(-strongest, kind="stable")
    ranking, lines = influence.ranking(STUDIED), []
    sizes = [budget_rows(budget, material.valid) for budget in config.budgets]
    levels = influence.mean_normalised(*(ranking.rows[:rows] for rows in sizes))
    for budget, rows, level in zip(config.budgets, sizes, levels, strict=True):
        steps = np.sort(steps_by_column(ranking.columns[:rows], len(largest)))[::-1]
        lines.append(
            {
                "budget": budget_label(budget),
                "label": budget_text(budget_label(budget)),
                "rows": rows,
                "shared": 100 * len(np.intersect1d(ranking.rows[:rows], order[:rows])) / rows,
                "spread": float(np.nanstd(level)),
                "largest": float(np.nanstd(largest)),
                "first": 100 * steps[0] / rows,
                "tenth": 100 * steps[: -(-len(steps) // 10)].sum() / rows,
                "unserved": int((steps == 0).sum()),
            }
        )
    columns = (
        Column("label", "Budget"),
        Column("rows", "Steps", 0),
        Column("shared", "Shared (%)", 1),
        Column("spread", "Spread of M", 2),
        Column("largest", "of the largest", 2),
        Column("first", "Busiest (%)", 1),
        Column("tenth", "Busiest tenth (%)", 1),
        Column("unserved", "Win none", 0),
    )
    return Table("", pd.DataFrame(lines), columns)


def steps_by_column(winners: np.ndarray, columns: int) -> np.ndarray:
    """Steps that every column won, int64 [columns]. winners: int64, column of each step, -1 where none won."""
    return np.bincount(winners[winners != NO_COLUMN], minlength=columns)


def bids_steps_by_example(material: Material) -> Figure:
    """Steps of BIDS that every validation example won, tasks side by side, and below its M and its largest normalised influence. A balance
    that acted would give the examples about as many steps each, and would draw the points of M towards one height."""
    influence = material.influence
    ranking, rows = influence.ranking(STUDIED), material.most_rows
    largest, _ = influence.largest_normalised
    (level,) = influence.mean_normalised(ranking.rows[:rows])
    frame = pd.DataFrame(
        {
            "task": [column["task"] for column in influence.matrix.columns],
            "validation_id": [column["id"] for column in influence.matrix.columns],
            "steps": steps_by_column(ranking.columns[:rows], len(largest)),
            "M": level,
            "largest": largest,
        }
    )
    starts = np.flatnonzero(frame["task"] != frame["task"].shift())

    def draw(pyplot):
        figure, (above, below) = pyplot.subplots(2, 1, figsize=(WIDTH, 3.6), sharex=True)
        place, color = np.arange(len(frame)), selector(STUDIED).color
        above.bar(place, frame["steps"], width=1, color=color)
        above.set_ylabel("Steps won")
        below.scatter(place, frame["largest"], s=6, color=MUTED, label="largest")
        below.scatter(place, frame["M"], s=6, color=color, label="M")
        below.set_ylabel("Normalised influence")
        below.legend(loc="upper right", markerscale=2)
        for axis in (above, below):
            for start in starts[1:]:
                axis.axvline(start - 0.5, color=MUTED, linewidth=0.6)
        middles = (starts + np.append(starts[1:], len(frame)) - 1) / 2
        below.set_xticks(middles, frame["task"].iloc[starts])
        below.tick_params(axis="x", length=0)
        return figure

    return Figure(f"After {rows:,} steps.", frame, draw)
