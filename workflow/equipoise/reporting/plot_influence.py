"""Figures of influence: AID, THI, normality (the paper's Figures 1 to 9)."""

import numpy as np
import pandas as pd
from matplotlib.patheffects import withStroke

from equipoise.reporting.figure import Figure
from equipoise.reporting.style import AXIS, BAND, INK, MUTED, NEUTRAL, PAPER, WIDTH, color, label

Published = dict[str, dict[str, float]]
EVEN = {"color": MUTED, "linewidth": 1, "linestyle": (0, (4, 3)), "label": "even spread"}
PUBLISHED = {"linestyle": "none", "marker": "D", "color": INK, "markeredgecolor": PAPER, "markersize": 5, "label": "the paper's share"}


def aid_pool(frame: pd.DataFrame, rows: int) -> Figure:
    """Figures 1 and 6."""

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 3.0))
        _by_task(axis, frame, "aid", NEUTRAL)
        axis.set_ylabel("Average influence")
        return figure

    caption = (
        f"Raw average influence distribution (AID) of the whole pool ({rows:,} valid rows): a dot a validation example, a bar a task's "
        "mean. "
        "The paper's Figure 1 (Figure 6 for its second model)."
    )
    return Figure("figure_1_aid_pool", "Raw AID of the pool", caption, frame, draw)


def aid_ablation(frame: pd.DataFrame, budget: str) -> Figure:
    """Figures 4 and 9."""
    selectors = list(frame.columns[2:])

    def draw(pyplot):
        size = (WIDTH, 0.4 + 1.75 * len(selectors))
        figure, axes = pyplot.subplots(len(selectors), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
        for number, (axis, name) in enumerate(zip(axes[:, 0], selectors, strict=True)):
            _by_task(axis, frame, name, color(name), names=number == len(selectors) - 1)
            low, high = frame[name].min(), frame[name].max()
            axis.set_title(label(name))
            axis.set_title(f"{low:.2f} to {high:.2f}".replace("-", "−"), loc="right", fontweight="normal", fontsize=8.5, color=MUTED)
            axis.set_ylabel("Normalised AID")
        return figure

    caption = (
        f"AID of three selections at {budget} after column-wise z-scoring: a dot a validation example, a bar a task's mean; the smallest "
        "and "
        "the largest value stand at the right. The paper's Figure 4 (Figure 9 for its second model)."
    )
    return Figure("figure_4_aid_ablation", "Normalised AID of three selections", caption, frame, draw)


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


def thi_less(frame: pd.DataFrame, budget: str, published: dict[str, float] | None = None) -> Figure:
    """Figures 2 and 7; published: task -> the paper's share, where it has one."""
    total = int(frame["task_max"].sum())

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 0.9 + 0.32 * len(frame)))
        bars = axis.barh(frame["task"], frame["task_max"], color=color("task_max"), height=0.66)
        texts = [f"{count:,}  ({count / total:.0%})" for count in frame["task_max"]]
        axis.bar_label(bars, texts, padding=4, fontsize=8.5, color=INK)
        axis.axvline(total / len(frame), **EVEN)
        if published:
            axis.plot([share * total for share in published.values()], list(published), **PUBLISHED)
        figure.legend(loc="outside upper left", ncols=2)
        axis.invert_yaxis()
        axis.margins(x=0.14)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("Selected rows whose mean influence is highest on the task")
        return figure

    caption = (
        f"Task frequency with highest influence (THI, task-mean form) of the {total:,} rows that LESS selects at {budget}; the dashed "
        "line is "
        "an even spread. The paper's Figure 2 (Figure 7 for its second model)."
    )
    if published:
        frame = frame.assign(published_share=frame["task"].map(published))
    return Figure("figure_2_thi_less", "THI of LESS's selection", caption, frame, draw)


def thi_ablation(frame: pd.DataFrame, budget: str, normalisation: str = "zscore", published: Published | None = None) -> Figure:
    """Figures 3 and 8. normalisation: the one the experiment ranks on; published: selector -> task -> the paper's share."""
    published = {name: shares for name, shares in (published or {}).items() if shares and name in frame}
    tasks = list(frame["task"])
    selectors = list(frame.columns[1:])
    total = int(frame[selectors[0]].sum())

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 3.0))
        width = 0.8 / len(selectors)
        for number, name in enumerate(selectors):
            places = np.arange(len(frame)) + (number - (len(selectors) - 1) / 2) * width
            bars = axis.bar(places, frame[name], width * 0.9, color=color(name), label=label(name))
            halo = [withStroke(linewidth=2.5, foreground=PAPER)]  # keeps the number legible on the dashed line
            axis.bar_label(bars, [f"{count:,}" for count in frame[name]], padding=2, fontsize=6.5, color=INK, path_effects=halo)
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
    caption = (
        f"THI, instance form, of three selections of {total:,} rows at {budget}: the task of the validation example on which a row's "
        f"influence is highest (raw for Unnormalized, z-scored for the others, {ranked}); the dashed line is an even spread. The paper's "
        "Figure 3 (Figure 8 for its second model)."
    )
    if published:
        frame = frame.assign(**{f"{name}_published_share": frame["task"].map(shares) for name, shares in published.items()})
    return Figure("figure_3_thi_ablation", "THI of three selections", caption, frame, draw)


def normality(curves: pd.DataFrame, moments: pd.DataFrame) -> Figure:
    """Figure 5: density and Q-Q plot of five sampled columns a task."""
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
        "Normality of the matrix's columns after z-scoring: five sampled validation examples a task against N(0, 1) (dashed), as density "
        f"of the values from −5 to 5 ({100 * beyond:.1g} % lie beyond) and as Q-Q plot. Over all {len(moments):,} columns the median skew "
        f"is {middle['skew']:.2f} and the median excess kurtosis {middle['excess_kurtosis']:.1f} (both 0 for a normal column). The paper's "
        "Figure 5."
    )
    shape = moments.assign(kind="moments")
    return Figure("figure_5_normality", "Normality of the columns", caption, pd.concat([curves, shape], ignore_index=True), draw)
