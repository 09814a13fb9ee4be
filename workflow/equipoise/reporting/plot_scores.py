"""Figures of scores: score against budget, differences with intervals, ranks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from equipoise.measures import ACCURACY, LOSS, Measure
from equipoise.reporting.arms import CHANCE, budget_order, names_that
from equipoise.reporting.figure import Figure
from equipoise.reporting.labels import WHY_TWO, budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.style import AXIS, INK, MUTED, PAPER, WIDTH
from equipoise.reporting.verdicts import LEVEL
from equipoise.selectors import selector

FIRST = 5.2  # inches wide: it stands beside the first screen's table
DIFFERENCE = {
    ACCURACY: "Difference of macro averages, points",
    LOSS: f"Difference of mean losses, {LOSS.unit} (left of 0: better)",
}


def score_by_budget(material: Material) -> Figure:
    """Macro average against budget, one panel per selector: mean over runs with its 95 % bootstrap interval; random selection in grey,
    training on the full pool dashed."""
    return _score_by_budget(material, material.bootstrap.measure)


def loss_by_budget(material: Material) -> Figure:
    """Mean held-out loss over tasks against budget, lower is better, one panel per selector: mean over runs with its 95 % bootstrap
    interval; random selection in grey, training on the full pool dashed."""
    return _score_by_budget(material, LOSS)


def _score_by_budget(material: Material, measure: Measure) -> Figure:
    macro = _of(material.frame("statistics_macro"), measure)
    swept = macro[macro["selector"].isin(names_that(swept=True)) & (macro["epochs"] == material.config.finetune.epochs)]
    full = macro[macro["selector"].isin(names_that(trains=True, swept=False))].nlargest(1, "epochs")
    selectors = [name for name in dict.fromkeys(swept["selector"]) if name != CHANCE] or [CHANCE]
    budgets = _sorted_budgets(swept["budget"])
    place = {budget: number for number, budget in enumerate(budgets)}

    def draw(pyplot):
        columns = min(3, len(selectors))
        lines = -(-len(selectors) // columns)
        figure, axes = pyplot.subplots(lines, columns, figsize=(FIRST, 0.85 + 1.3 * lines), sharex=True, sharey=True, squeeze=False)
        for axis, name in zip(axes.flat, selectors, strict=False):
            if len(full):
                axis.axhline(full["macro"].iloc[0], color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            for shown in dict.fromkeys((CHANCE, name)):
                rows, look = swept[swept["selector"] == shown], selector(shown)
                x = [place[budget] for budget in rows["budget"]]
                axis.fill_between(x, rows["low"], rows["high"], color=look.color, alpha=0.18, linewidth=0)
                axis.plot(x, rows["macro"], color=look.color, marker=look.marker)
            axis.set_title(selector(name).short_label)
            axis.set_xticks(range(len(budgets)), [budget_text(budget).replace(" examples", "") for budget in budgets])
            axis.set_xlim(-0.25, len(budgets) - 0.75)
        for axis in list(axes.flat)[len(selectors) :]:
            axis.set_axis_off()
        for axis in axes[:, 0]:
            axis.set_ylabel(_axis(measure))
        figure.supxlabel("Budget", fontsize=9)
        keys = []
        if CHANCE in set(swept["selector"]):
            look = selector(CHANCE)
            keys.append(Line2D([], [], color=look.color, marker=look.marker, label=look.short_label))
        if len(full):
            text = f"{full['label'].iloc[0]}, {int(full['epochs'].iloc[0])} epochs"
            keys.append(Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label=text))
        keys.append(Patch(facecolor=MUTED, alpha=0.3, label="95 % interval"))
        figure.legend(handles=keys, loc="outside upper left", ncols=len(keys))
        return figure

    caption = _intervals(swept)
    if len(full):
        row = full.iloc[0]
        caption += f" Training on the full pool for {int(row['epochs'])} epochs gives {row['macro']:.{measure.digits}f}."
    return Figure(caption, macro, draw)


def differences(material: Material) -> Figure:
    """Macro average minus the baseline's, with the paired bootstrap's 95 % interval (thick) and the interval of the verdict (thin, cut at
    the figure's edge), which leaves out 0 exactly where something is claimed. Filled markers differ from the baseline after Holm's
    adjustment over all comparisons; hollow markers are not, or carry no claim (pale: items only)."""
    return _differences(material, material.bootstrap.measure)


def loss_differences(material: Material) -> Figure:
    """Mean held-out loss over tasks minus the baseline's, with the paired bootstrap's 95 % interval (thick) and the interval of the verdict
    (thin, cut at the figure's edge), which leaves out 0 exactly where something is claimed: left of 0 is better. Filled markers are
    distinguishable from the baseline after Holm's adjustment over all comparisons; hollow markers are not, or carry no claim (pale: items
    only)."""
    return _differences(material, LOSS)


def _differences(material: Material, measure: Measure) -> Figure:
    comparisons = _of(material.frame("statistics_comparisons"), measure)
    baselines = list(dict.fromkeys(comparisons["baseline"]))
    budgets = _sorted_budgets(comparisons["budget"])
    usual = comparisons["epochs"].mode().iloc[0]
    rows = comparisons[comparisons["epochs"] == usual]
    selectors = list(dict.fromkeys(rows["selector"]))

    reach = max(rows["low"].abs().max(), rows["high"].abs().max(), 1e-9)
    # cut, as a verdict's interval from few runs may reach far beyond
    limits = (min(0.0, rows["low"].min()) - 0.25 * reach, max(0.0, rows["high"].max()) + 0.25 * reach)

    def draw(pyplot):
        height = 1.0 + len(baselines) * (0.45 + 0.24 * len(selectors))
        shape = (len(baselines), len(budgets))
        figure, axes = pyplot.subplots(*shape, figsize=(WIDTH, height), sharex=True, sharey="row", squeeze=False)
        for line, baseline in zip(axes, baselines, strict=True):
            names = [name for name in selectors if name != baseline and ((rows["selector"] == name) & (rows["baseline"] == baseline)).any()]
            for axis, budget in zip(line, budgets, strict=True):
                axis.axvline(0, color=AXIS, linewidth=1)
                for number, name in enumerate(names):
                    look = selector(name)
                    own = rows[(rows["selector"] == name) & (rows["baseline"] == baseline) & (rows["budget"] == budget)]
                    for row in own.to_dict("records"):
                        sure, bar = row["p_holm"] < LEVEL, {"color": look.color, "solid_capstyle": "round"}
                        axis.plot([row["claim_low"], row["claim_high"]], [number, number], linewidth=0.9, **bar)
                        axis.plot([row["low"], row["high"]], [number, number], linewidth=2.6, alpha=0.3 if pd.isna(row["p"]) else 1, **bar)
                        face = look.color if sure else PAPER
                        axis.plot(
                            row["difference"],
                            number,
                            linestyle="none",
                            marker=look.marker,
                            color=look.color,
                            markerfacecolor=face,
                            markersize=6,
                        )
                axis.set_yticks(range(len(names)), [selector(name).short_label for name in names])
                axis.set_ylim(len(names) - 0.4, -0.6)
                axis.grid(axis="y", visible=False)
                axis.set_title(f"{budget_text(budget)}, against {selector(baseline).short_label}")
                axis.set_xlim(*limits)
        figure.supxlabel(DIFFERENCE[measure], fontsize=9)
        dot = {"linestyle": "none", "marker": "o", "color": INK, "markersize": 6}
        sure = Line2D([], [], **dot, label=f"p below {LEVEL:g} (Holm)")
        unsure = Line2D([], [], **dot, markerfacecolor=PAPER, label="not distinguishable, or no claim")
        thin = Line2D([], [], color=INK, linewidth=0.9, label="interval of the verdict")
        thick = Line2D([], [], color=INK, linewidth=2.6, label="bootstrap's 95 %")
        figure.legend(handles=[sure, unsure, thick, thin], loc="outside upper left", ncols=4, columnspacing=1.2)
        return figure

    return Figure(f"{_intervals(rows)} {WHY_TWO}", comparisons, draw)


def ranks(material: Material) -> Figure:
    """Observed rank (dot) and mean rank over bootstrap draws with its 95 % interval; an interval of no width lies under its marker. This
    experiment does not separate selectors whose intervals overlap widely."""
    return _ranks(material, material.bootstrap.measure)


def loss_ranks(material: Material) -> Figure:
    """Ranks by mean held-out loss, the lowest first: observed rank (dot) and mean rank over bootstrap draws with its 95 % interval; an
    interval of no width lies under its marker."""
    return _ranks(material, LOSS)


def _ranks(material: Material, measure: Measure) -> Figure:
    frame = _of(material.frame("statistics_ranks"), measure)
    budgets = list(dict.fromkeys(frame["budget"]))
    overall = frame.groupby("selector", sort=False)["mean_rank"].mean().sort_values(kind="stable")
    selectors = list(overall.index)

    def draw(pyplot):
        size = (WIDTH, 1.1 + 0.26 * len(selectors))
        figure, axes = pyplot.subplots(1, len(budgets), figsize=size, sharex=True, sharey=True, squeeze=False)
        for axis, budget in zip(axes[0], budgets, strict=True):
            for row in frame[frame["budget"] == budget].to_dict("records"):
                number, look = selectors.index(row["selector"]), selector(row["selector"])
                axis.plot([row["low"], row["high"]], [number, number], color=look.color, linewidth=5, alpha=0.3, solid_capstyle="round")
                axis.plot(row["rank"], number, ".", color=INK, markeredgecolor=PAPER, markersize=7, zorder=4)
                axis.plot(row["mean_rank"], number, linestyle="none", marker=look.marker, color=look.color, markersize=6)
            axis.set_yticks(range(len(selectors)), [selector(name).short_label for name in selectors])
            axis.set_ylim(len(selectors) - 0.4, -0.6)
            axis.set_xticks(np.arange(1, len(selectors) + 1, 1 if len(selectors) < 9 else 2))
            axis.set_title(budget_text(budget))
            axis.grid(axis="y", visible=False)
        figure.supxlabel(f"Rank by {measure.average} (1 is best)", fontsize=9)
        keys = [
            Line2D([], [], linestyle="none", marker=".", color=INK, markersize=7, label="observed rank"),
            Line2D([], [], linestyle="none", marker="o", color=MUTED, markersize=6, label="mean over draws"),
            Line2D([], [], color=MUTED, linewidth=5, alpha=0.5, solid_capstyle="round", label="95 % interval"),
        ]
        figure.legend(handles=keys, loc="outside upper left", ncols=3)
        return figure

    return Figure(_intervals(frame), frame, draw)


def _of(frame: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    return frame[frame["measure"] == measure.name].reset_index(drop=True)


def _axis(measure: Measure) -> str:
    return "Macro average" if measure is ACCURACY else f"Mean loss, {measure.unit}"


def _sorted_budgets(budgets: Sequence[str]) -> list[str]:
    return sorted(dict.fromkeys(budgets), key=budget_order)


def _intervals(frame: pd.DataFrame) -> str:
    kinds = list(dict.fromkeys(frame["interval"]))
    over = kinds[0] if len(kinds) == 1 else "runs and items, over items only where there are fewer than three runs"
    return f"Intervals are over {over}."
