"""Figures of selections: overlap, influence along the ranking, tasks served, sources, pool map."""

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.ticker import LogLocator, NullFormatter

from equipoise.reporting.arms import CHANCE, LESS, STUDIED
from equipoise.reporting.figure import Figure
from equipoise.reporting.material import Material
from equipoise.reporting.style import DIVERGING, INK, PAPER, POOL, SEQUENTIAL, SOURCES, WIDTH, text_on
from equipoise.selectors import selector

SOURCES_SHOWN = 8
NAMED = (CHANCE, LESS, STUDIED)  # lines in colour where there are many
FEW_LINES = 4
CARD = "#ffffff"  # the map is an image: it keeps a white ground in the dark theme
OTHER = "other sources"
SLANTED = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}


def overlap(material: Material) -> Figure:
    """Overlap of every two selections: rows in both over rows in either (Jaccard). Seeded selectors are shown with their first seed; two
    random selections of a share b overlap by about b / (2 - b)."""
    frame = material.influence.overlap(material.rows)
    names = list(dict.fromkeys(frame["selector"]))
    values = frame.pivot(index="selector", columns="other", values="jaccard").loc[names, names].to_numpy()

    def draw(pyplot):
        side = 1.6 + 0.46 * len(names)
        figure, axis = pyplot.subplots(figsize=(side + 0.7, side))
        shown = np.where(np.tri(len(names), dtype=bool), values, np.nan)
        axis.pcolormesh(shown, cmap=SEQUENTIAL, vmin=0, vmax=1, edgecolor=PAPER, linewidth=1.2)
        for line in range(len(names)):
            for place in range(line + 1):
                value = values[line, place]
                axis.text(place + 0.5, line + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=8, color=text_on(value))
        labels = [selector(name).short_label for name in names]
        axis.set_xticks(np.arange(len(names)) + 0.5, labels, **SLANTED)
        axis.set_yticks(np.arange(len(names)) + 0.5, labels)
        axis.invert_yaxis()
        _bare(axis)
        return figure

    return Figure(f"Budget: {material.budget_text}.", frame, draw)


def influence_along_ranking(material: Material) -> Figure:
    """Mean z-scored influence of the first picks on each task's validation examples, along each selector's ranking; each task has a scale
    of its own. The higher a line, the more the picks are expected to help that task, to first order. Of many selectors, Random, LESS and
    BIDS are in colour and the others in grey."""
    frame = material.influence.along_ranking(material.most_rows)
    tasks = list(dict.fromkeys(frame["task"]))
    selectors = list(dict.fromkeys(frame["selector"]))
    span = frame["picks"].max() / frame["picks"].min()
    told = sorted(selectors, key=lambda name: name in NAMED)  # those in grey lie below
    others = set(selectors).difference(NAMED) if len(selectors) > FEW_LINES and not set(NAMED).isdisjoint(selectors) else set()

    def draw(pyplot):
        columns = min(4, len(tasks) + 1)
        lines = -(-(len(tasks) + 1) // columns)
        figure, axes = pyplot.subplots(lines, columns, figsize=(WIDTH, 0.3 + 1.85 * lines), sharex=True, squeeze=False)
        for axis, task in zip(axes.flat, tasks, strict=False):
            for number, name in enumerate(told):
                rows = frame[(frame["task"] == task) & (frame["selector"] == name)]
                look, style = selector(name), {"marker": selector(name).marker, "markevery": (number * 7 % 25, 25), "markersize": 4}
                if name in others:
                    axis.plot(rows["picks"], rows["mean"], color=POOL, linewidth=0.9, zorder=1.5, label="" if number else "others")
                else:
                    axis.plot(rows["picks"], rows["mean"], color=look.color, linewidth=1.8, label=look.short_label, **style)
            axis.set_title(task)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3) if span < 100 else (1,)))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axis.xaxis.set_minor_formatter(NullFormatter())  # would label 2, 4, 5 ... on top of each other within one decade
            axis.grid(which="minor", visible=False)
        for axis in list(axes.flat)[len(tasks) :]:
            axis.set_axis_off()
        handles, names = axes.flat[0].get_legend_handles_labels()
        axes.flat[len(tasks)].legend(handles, names, loc="center left", borderaxespad=0, fontsize=8, labelspacing=0.35)
        for axis in axes.flat[: len(tasks)]:
            axis.tick_params(axis="x", labelbottom=True)
        figure.supxlabel("Picks so far", fontsize=9)
        figure.supylabel("Mean normalised influence", fontsize=9)
        return figure

    return Figure("", frame, draw)


def steps_served(material: Material) -> Figure:
    """Tasks served by the steps of BIDS: the task of the validation example whose normalised influence each pick improved most."""
    frame = material.influence.steps_served(material.most_rows)
    tasks = list(dict.fromkeys(frame["task"]))
    starts = list(dict.fromkeys(frame["from"]))
    values = frame.pivot(index="task", columns="from", values="share").loc[tasks, starts].to_numpy()
    stops = list(dict.fromkeys(frame["to"]))

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 0.8 + 0.3 * len(tasks)))
        edges = np.r_[np.array(starts) - 1, stops[-1]]
        mesh = axis.pcolormesh(edges, np.arange(len(tasks) + 1), values, cmap=SEQUENTIAL, vmin=0, vmax=max(values.max(), 1e-9))
        axis.set_yticks(np.arange(len(tasks)) + 0.5, tasks)
        axis.invert_yaxis()
        axis.set_xlabel(f"Step of {selector(STUDIED).short_label}")
        _bare(axis)
        axis.tick_params(axis="x", length=3)
        bar = figure.colorbar(mesh, ax=axis, pad=0.015, aspect=14)
        bar.outline.set_visible(False)
        bar.set_label("Share of the steps")
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        return figure

    totals = frame.assign(weight=frame["share"] * (frame["to"] - frame["from"] + 1)).groupby("task", sort=False)["weight"].sum()
    shares = ", ".join(f"{task} {total / stops[-1]:.0%}" for task, total in totals.items())
    return Figure(f"Of all {stops[-1]:,} steps: {shares}.", frame, draw)


def sources(material: Material) -> Figure:
    """Sources of each selection, in percent of the selection; colour shows how many times more or less often than in the pool a source was
    chosen."""
    frame = material.influence.sources(material.sources, material.rows)
    shown = _few_sources(frame)
    names = list(frame.columns[2:])

    def draw(pyplot):
        figure, axis = pyplot.subplots(figsize=(WIDTH, 1.7 + 0.3 * len(shown)))
        pool = shown["pool"].to_numpy()[:, None]
        shares = shown[["pool", *names]].to_numpy(float)
        ratio = np.log2(np.maximum(shares, 1e-9) / pool).clip(-3, 3)
        mesh = axis.pcolormesh(ratio, cmap=DIVERGING, norm=TwoSlopeNorm(0, -3, 3), edgecolor=PAPER, linewidth=1.2)
        for line in range(shares.shape[0]):
            for place in range(shares.shape[1]):
                dark = abs(ratio[line, place]) > 2.1
                text = f"{100 * shares[line, place]:.{0 if shares[line, place] >= 0.0995 else 1}f}"
                shade = "#ffffff" if dark else "#111111"
                axis.text(place + 0.5, line + 0.5, text, ha="center", va="center", fontsize=8, color=shade)
        axis.axvline(1, color=INK, linewidth=1.2)
        labels = ["Pool", *(selector(name).short_label for name in names)]
        axis.set_xticks(np.arange(len(labels)) + 0.5, labels, **SLANTED)
        axis.set_yticks(np.arange(len(shown)) + 0.5, shown["source"])
        axis.invert_yaxis()
        _bare(axis)
        bar = figure.colorbar(mesh, ax=axis, pad=0.015, aspect=14, ticks=[-3, -1, 0, 1, 3])
        bar.ax.set_yticklabels(["⅛ of pool", "½", "as pool", "2 times", "8 times"])
        bar.outline.set_visible(False)
        return figure

    return Figure(f"Budget: {material.budget_text}.", frame, draw)


def pool_map(material: Material) -> Figure:
    """The first two principal components of the z-scored matrix rows, coloured by source and, over the pool in grey, by selection.
    Distances in two dimensions hide most of the differences between rows."""
    frame = material.influence.pool_map(material.sources, material.rows, material.config.seed)
    selectors = [name for name in frame.columns[4:] if selector(name).competes]
    names = list(frame["source"].value_counts().index)
    names = names if len(names) <= SOURCES_SHOWN else [*names[: SOURCES_SHOWN - 1], OTHER]
    group = frame["source"].where(frame["source"].isin(names), OTHER)
    named = [f"Principal component {number} ({share:.1%} of the variance)" for number, share in enumerate(frame.attrs["variance"], 1)]

    def draw(pyplot):
        columns = 4
        lines = 2 + -(-max(0, len(selectors) - 4) // columns)
        figure = pyplot.figure(figsize=(WIDTH, 1.75 * lines + 0.2))
        grid = figure.add_gridspec(lines, columns)
        first = figure.add_subplot(grid[:2, :2])
        places = [(line, place) for line in range(lines) for place in range(columns) if line > 1 or place > 1]
        size = 9 if len(frame) < 5_000 else 4
        for name, shade in zip(names, SOURCES, strict=False):
            points = frame[group == name]
            first.scatter(points["x"], points["y"], s=size, color=shade, alpha=0.6, linewidth=0, label=name, rasterized=True)
        first.set_title("By source")
        first.set(**{f"{axis}label": text for axis, text in zip("xy", named, strict=True)})
        box = {"frameon": True, "facecolor": CARD, "framealpha": 0.85, "edgecolor": "none", "labelcolor": "#111111"}
        legend = first.legend(loc="best", markerscale=2, fontsize=7.5, handletextpad=0.2, **box)
        legend.set_zorder(5)
        for name, (line, place) in zip(selectors, places, strict=False):
            axis = figure.add_subplot(grid[line, place], sharex=first, sharey=first)
            axis.scatter(frame["x"], frame["y"], s=2, color=POOL, alpha=0.5, linewidth=0, rasterized=True)
            points = frame[frame[name]]
            axis.scatter(points["x"], points["y"], s=size * 0.6, color=selector(name).color, alpha=0.75, linewidth=0, rasterized=True)
            axis.set_title(selector(name).short_label)
        for axis in figure.axes:
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
            axis.set_facecolor(CARD)
        low, high = frame[["x", "y"]].quantile(0.001), frame[["x", "y"]].quantile(0.999)
        margin = 0.06 * (high - low)
        first.set(xlim=(low["x"] - margin["x"], high["x"] + margin["x"]), ylim=(low["y"] - margin["y"], high["y"] + margin["y"]))
        return figure

    together = sum(frame.attrs["variance"])
    return Figure(f"Both together hold {together:.1%} of the variance. Budget: {material.budget_text}.", frame, draw)


def _few_sources(frame: pd.DataFrame) -> pd.DataFrame:
    """The largest sources, the rest summed into one line."""
    if len(frame) <= SOURCES_SHOWN:
        return frame
    rest = frame.iloc[SOURCES_SHOWN - 1 :].drop(columns="source").sum()
    return pd.concat([frame.iloc[: SOURCES_SHOWN - 1], pd.DataFrame([{"source": OTHER, **rest}])], ignore_index=True)


def _bare(axis) -> None:
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)
