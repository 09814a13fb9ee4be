"""Figures of influence: AID, THI, normality (the paper's Figures 1 to 9)."""

import numpy as np
import pandas as pd

from equipoise.reporting.arms import LESS
from equipoise.reporting.figure import Figure
from equipoise.reporting.material import Material
from equipoise.reporting.published import thi_shares
from equipoise.reporting.style import AXIS, BAND, INK, MUTED, NEUTRAL, PAPER, WIDTH
from equipoise.selectors import selector

EVEN = {"color": MUTED, "linewidth": 1, "linestyle": (0, (4, 3)), "label": "even spread"}
CARD = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}  # behind a number: the dashed line does not strike it through
PUBLISHED = {"linestyle": "none", "marker": "D", "color": INK, "markeredgecolor": PAPER, "markersize": 5, "label": "the paper's share"}


def figure_1_aid_pool(material: Material) -> Figure:
    """Raw average influence distribution (AID) of the whole pool, the mean influence of all rows: one dot per validation example, one bar
    per task at its mean. The paper's Figure 1 (Figure 6 for its second model)."""
    frame = material.influence.aid_pool()

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 3.0))
        _by_task(axis, frame, "aid", NEUTRAL)
        axis.set_ylabel("Average influence")
        return figure

    return Figure(f"The pool has {material.valid:,} valid rows.", frame, draw)


def figure_4_aid_ablation(material: Material) -> Figure:
    """AID of Unnormalized, Normalized and BIDS after column-wise z-scoring: one dot per validation example, one bar per task at its mean;
    the smallest and the largest value stand at the right. The paper's Figure 4 (Figure 9 for its second model)."""
    frame = material.influence.aid_normalised(material.rows)
    selectors = list(frame.columns[2:])

    def draw(pyplot):
        size = (WIDTH, 0.4 + 1.75 * len(selectors))
        figure, axes = pyplot.subplots(len(selectors), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
        for number, (axis, name) in enumerate(zip(axes[:, 0], selectors, strict=True)):
            _by_task(axis, frame, name, selector(name).color, names=number == len(selectors) - 1)
            low, high = frame[name].min(), frame[name].max()
            axis.set_title(selector(name).short_label)
            axis.set_title(f"{low:.2f} to {high:.2f}".replace("-", "−"), loc="right", fontweight="normal", fontsize=8.5, color=MUTED)
            axis.set_ylabel("Normalised AID")
        return figure

    return Figure(f"Budget: {material.budget_text}.", frame, draw)


def _by_task(axis, frame: pd.DataFrame, key: str, shade: str, names: bool = True) -> None:
    """Dots of a value per validation example, grouped by task in alternating bands, with a bar at the task's mean."""
    tasks = list(dict.fromkeys(frame["task"]))
    middles = []
    axis.axhline(0, color=AXIS, linewidth=0.8, zorder=1)
    for number, task in enumerate(tasks):
        places = np.flatnonzero(frame["task"] == task)
        start, stop = places[0] - 0.5, places[-1] + 0.5
        middles.append((start + stop) / 2)
        if number % 2 == 0:
            axis.axvspan(start, stop, color=BAND, linewidth=0, zorder=0)
        values = frame[key].to_numpy()[places]
        axis.plot(places, values, "o", color=shade, markersize=3.2, alpha=0.65, markeredgewidth=0, zorder=2)
        edge = 0.08 * (stop - start)
        axis.plot([start + edge, stop - edge], [np.nanmean(values)] * 2, color=INK, linewidth=1.6, zorder=3)
    axis.set_xlim(-0.5, len(frame) - 0.5)
    axis.grid(axis="x", visible=False)
    axis.tick_params(axis="x", length=0)
    axis.set_xticks(middles, tasks if names else [""] * len(tasks))


def figure_2_thi_less(material: Material) -> Figure:
    """Task frequency with highest influence (THI, task-mean form) of the rows that LESS selects; the dashed line is an even spread. The
    paper's Figure 2 (Figure 7 for its second model)."""
    frame = material.influence.thi_less(material.rows)
    published = thi_shares(material.config, LESS, material.budget)
    total = int(frame[LESS].sum())

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 0.9 + 0.32 * len(frame)))
        bars = axis.barh(frame["task"], frame[LESS], color=selector(LESS).color, height=0.66)
        texts = [f"{count:,}  ({count / total:.0%})" for count in frame[LESS]]
        axis.bar_label(bars, texts, padding=4, fontsize=8.5, color=INK, bbox=CARD)
        axis.axvline(total / len(frame), **EVEN, zorder=0.5)
        if published:
            axis.plot([share * total for share in published.values()], list(published), **PUBLISHED)
        figure.legend(loc="outside upper left", ncols=2)
        axis.invert_yaxis()
        axis.margins(x=0.14)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("Selected rows whose mean influence is highest on the task")
        return figure

    if published:
        frame = frame.assign(published_share=frame["task"].map(published))
    return Figure(f"{total:,} rows (budget: {material.budget_text}).", frame, draw)


def figure_3_thi_ablation(material: Material) -> Figure:
    """THI, instance form, of Unnormalized, Normalized and BIDS: the task of the validation example on which a row's influence is highest
    (raw for Unnormalized, z-scored for the others); the dashed line is an even spread. The paper's Figure 3 (Figure 8 for its second
    model), whose shares are shown where model and budget match."""
    frame, normalisation = material.influence.thi_ablation(material.rows), material.config.selection.normalisation
    shares = {name: thi_shares(material.config, name, material.budget) for name in frame.columns[1:]}
    published = {name: by_task for name, by_task in shares.items() if by_task}
    tasks = list(frame["task"])
    selectors = list(frame.columns[1:])
    total = int(frame[selectors[0]].sum())

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 3.0))
        width = 0.8 / len(selectors)
        for number, name in enumerate(selectors):
            places = np.arange(len(frame)) + (number - (len(selectors) - 1) / 2) * width
            bars = axis.bar(places, frame[name], width * 0.9, color=selector(name).color, label=selector(name).short_label)
            axis.bar_label(bars, [f"{count:,}" for count in frame[name]], padding=2.5, fontsize=6.5, color=INK, bbox=CARD)
            if name in published:
                heights = [share * total for share in published[name].values()]
                axis.plot([places[tasks.index(task)] for task in published[name]], heights, **PUBLISHED | {"label": ""}, zorder=2.5)
        axis.axhline(total / len(frame), **EVEN, zorder=0.5)
        if published:
            axis.plot([], [], **PUBLISHED)
        axis.set_xticks(range(len(frame)), frame["task"])
        axis.tick_params(axis="x", length=0)
        axis.grid(axis="x", visible=False)
        axis.margins(y=0.1)
        axis.set_ylabel("Selected rows")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", ncols=len(selectors) + 2)
        return figure

    ranked = "each on what it ranks" if normalisation == "zscore" else f"although they rank on {normalisation}-normalised influence here"
    caption = f"{total:,} rows in each selection (budget: {material.budget_text}), counted {ranked}."
    if published:
        frame = frame.assign(**{f"{name}_published_share": frame["task"].map(shares) for name, shares in published.items()})
    return Figure(caption, frame, draw)


def figure_5_normality(material: Material) -> Figure:
    """Normality of the matrix's columns after z-scoring: five sampled validation examples per task against N(0, 1) (dashed), as density and
    as Q-Q plot. The paper's Figure 5."""
    curves, moments = material.influence.normality(material.config.seed)
    tasks = list(dict.fromkeys(curves["task"]))
    columns = min(7, len(tasks))
    blocks = -(-len(tasks) // columns)

    def draw(pyplot):
        figure, axes = pyplot.subplots(2 * blocks, columns, figsize=(WIDTH + 1.4, 3.4 * blocks), squeeze=False)
        for axis in axes.flat[len(tasks) :] if blocks > 1 else []:
            axis.set_axis_off()
        grid = np.linspace(-4.5, 4.5, 181)
        top = float(np.clip(1.05 * curves.loc[curves["kind"] == "density", "y"].max(), 0.6, 2.5))
        limit = float(np.ceil(curves.loc[curves["kind"] == "quantile", "y"].abs().max()))
        for number, task in enumerate(tasks):
            upper, lower = axes[2 * (number // columns)][number % columns], axes[2 * (number // columns) + 1][number % columns]
            lower.set_axis_on()
            upper.set_axis_on()
            upper.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=INK, linewidth=1, linestyle=(0, (3, 2)), zorder=3)
            lower.plot([-4, 4], [-4, 4], color=INK, linewidth=1, linestyle=(0, (3, 2)), zorder=3)
            for kind, axis in (("density", upper), ("quantile", lower)):
                chosen = curves[(curves["task"] == task) & (curves["kind"] == kind)]
                for _, line in chosen.groupby("validation_id", sort=False):
                    axis.plot(line["x"], line["y"], color=NEUTRAL, linewidth=1, alpha=0.7)
            upper.set_title(task)
            upper.set(xlim=(-5, 5), ylim=(0, top), xticks=[-5, 0, 5])
            lower.set(xlim=(-4, 4), ylim=(-limit, limit), xticks=[-3, 0, 3])
            if number % columns:
                upper.tick_params(labelleft=False)
                lower.tick_params(labelleft=False)
            else:
                upper.set_ylabel("Density")
                lower.set_ylabel("Observed quantile")
        figure.supxlabel("z-scored influence, cut at ±5 (top), standard normal quantile (bottom)", fontsize=9)
        return figure

    density = curves[curves["kind"] == "density"]
    bins = density.groupby("validation_id", sort=False)["y"].sum() * np.diff(np.sort(density["x"].unique())).mean()
    beyond = max(0.0, 1 - float(bins.mean()))
    middle = moments[["skew", "excess_kurtosis"]].median()
    caption = (
        f"The density shows values from −5 to 5 ({100 * beyond:.1g} % lie beyond). Over all {len(moments):,} columns the median skew is "
        f"{middle['skew']:.2f} and the median excess kurtosis {middle['excess_kurtosis']:.1f} (both 0 for a normal column)."
    )
    return Figure(caption, pd.concat([curves, moments.assign(kind="moments")], ignore_index=True), draw)
