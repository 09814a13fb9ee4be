"""The table of projection noise: how far every matrix of influence can be trusted."""

import numpy as np
import pandas as pd

from equipoise.attribution.reliability import ENOUGH
from equipoise.collecting import INFLUENCE
from equipoise.comparison import compared
from equipoise.experiment import tells_reliability
from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table
from equipoise.store.artefact import open_artefact


def table_reliability(material: Material) -> Table:
    """Split-half reliability of the matrix under the noise of the projection: the matrix from every second stored number against that from
    the others, correlated by column and corrected to the whole width (Spearman-Brown); medians over the columns of each task and of all."""
    tasks, lines, low = list(material.config.tasks), [], []
    for config in compared(material.config):
        if not tells_reliability(config, INFLUENCE):
            continue
        matrix, name = open_artefact(config, "matrix", matrix=INFLUENCE), config.gradients.estimator
        told = matrix.get("reliability") or {"dimension": None, "median": None, "columns": [None] * len(matrix["columns"])}
        values = np.array(told["columns"], np.float64)
        own = np.array([column["task"] for column in matrix["columns"]])
        by_task = {task: float(np.median(known)) if len(known := _known(values[own == task])) else np.nan for task in tasks}
        lines.append({"estimator": name, "dimension": told["dimension"], "all": told["median"], **by_task})
        if told["median"] is not None and told["median"] < ENOUGH:
            low.append(name)
    columns = (
        Column("estimator", "Estimator"),
        Column("dimension", "Numbers", 0),
        Column("all", "All", 3),
        *(Column(task, task, 3) for task in tasks),
    )
    frame = pd.DataFrame(lines)
    frame = frame.assign(**{name: pd.to_numeric(frame[name]).astype(float) for name in ("dimension", "all", *tasks)})
    said = f"Below {ENOUGH:g}: {', '.join(low)}; there, noise decides many picks (gradients.projection.dimension)." if low else ""
    return Table(said, frame, columns)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
