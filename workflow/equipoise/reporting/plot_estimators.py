"""Figure of the comparison of estimators: predicted against true effects."""

import numpy as np
import pandas as pd

from equipoise.reporting.figure import Figure
from equipoise.reporting.material import Material
from equipoise.reporting.style import AXIS, MUTED, NEUTRAL, WIDTH

SUBSETS = "subsets"
SHOWN = 1500  # points of a panel
COLUMNS = 4


def predicted_and_true(material: Material) -> Figure:
    """Predicted against true effect, one panel an estimator or baseline: of single optimizer steps on pool rows (the part that all steps
    share, Adam's momentum, taken off), or where none were measured of fine-tunings on subsets. Both are scaled by validation example to
    mean 0 and standard deviation 1."""
    validated = material.validated
    points = validated.points
    measure = "one_step" if "one_step.true" in points else SUBSETS
    true = points[f"{measure}.true"] - points.get("one_step.shared", np.float32(0)) * (measure == "one_step")
    own = {each.candidate: each for each in validated.results if each.measure == measure}
    drawn = np.random.Generator(np.random.PCG64(0)).permutation(true.size)[:SHOWN]
    frame = pd.DataFrame({"row": drawn // true.shape[1], "column": drawn % true.shape[1], "true": _scaled(true).ravel()[drawn]})
    for name in own:
        frame[name] = np.broadcast_to(_scaled(points[f"{measure}.{name}"]), true.shape).ravel()[drawn]

    def draw(pyplot):
        lines = -(-len(own) // COLUMNS)
        figure, axes = pyplot.subplots(lines, COLUMNS, figsize=(WIDTH, 1.9 * lines), sharex=True, sharey=True, squeeze=False)
        for axis, (name, result) in zip(axes.ravel(), own.items(), strict=False):
            axis.axhline(0, color=AXIS, linewidth=0.6)
            axis.axvline(0, color=AXIS, linewidth=0.6)
            axis.plot(frame[name], frame["true"], "o", color=NEUTRAL, markersize=2, alpha=0.35, markeredgewidth=0, rasterized=True)
            axis.set_title(name)
            if result.value is not None:
                axis.set_title(f"{result.value:.2f}".replace("-", "−"), loc="right", fontweight="normal", fontsize=8.5, color=MUTED)
        for axis in axes.ravel()[len(own) :]:
            axis.set_visible(False)
        axes[0, 0].set(xlim=(-4, 4), ylim=(-4, 4))
        figure.supxlabel("predicted")
        figure.supylabel("true")
        return figure

    kind = "single steps" if measure == "one_step" else "fine-tunings on subsets"
    shared = points.get("one_step.shared")
    part = ""
    if measure == "one_step":
        spread = float(np.sqrt((true**2).mean()))
        part = f" Root mean squares: {float(np.sqrt((shared**2).mean())):.2g} nats for the shared part, {spread:.2g} for what is left."
    caption = f"{len(drawn):,} of {true.size:,} points, of {kind}; numbers at the right are mean rank correlations.{part}"
    return Figure(caption, frame, draw)


def _scaled(values: np.ndarray) -> np.ndarray:
    """By column to mean 0 and standard deviation 1; 0 where it does not vary."""
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
