"""What a candidate predicts: the matrix of an estimator or of hidden states, one number a row, or random numbers."""

import numpy as np

from equipoise.attribution.matrix_store import open_values, read_valid
from equipoise.comparison import Candidate, column_source, estimated_by
from equipoise.config import Experiment
from equipoise.experiment import last_epoch
from equipoise.layout import CHUNK_ROWS
from equipoise.seeds import derive_seed
from equipoise.selectors import MATRICES
from equipoise.store.artefact import open_artefact
from equipoise.store.gradients import VALID, open_pool_rows


class Predictions:
    """Of all pool rows, for all validation examples or one number for all of them, read in chunks of rows; NaN in flagged ones.

    tasks: text [columns], of every validation example; one empty text where there is one number. identity: of what they are read from.
    """

    def __init__(self, config: Experiment, candidate: Candidate):
        self._config, self._candidate = config, candidate
        self.rows = open_artefact(config, "pool")["rows"]
        if candidate.by_task:
            matrix = open_artefact(estimated_by(config, candidate.estimator or ""), "matrix", matrix=candidate.matrix or MATRICES[0])
            self._values, self._valid = open_values(matrix), read_valid(matrix)
            self.tasks = np.array([column["task"] for column in matrix["columns"]])
            self.identity: str = matrix["fingerprint"]
        else:
            self._reader = open_pool_rows(column_source(config), last_epoch(config)) if candidate.column else None
            self.tasks, self.identity = np.array([""]), candidate.name
        self.columns = len(self.tasks)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), float64 [n, columns]."""
        if self._candidate.by_task:
            values = self._values.read(start, stop).astype(np.float64)
            values[~self._valid[start:stop]] = np.nan
            return values
        if self._reader is None:
            seed = derive_seed(self._config.seed, "validation", "random numbers", start)
            return np.random.Generator(np.random.PCG64(seed)).normal(size=(stop - start, 1))
        values = self._reader.read_column(self._candidate.column, start, stop).astype(np.float64)
        return np.where(self._reader.read_column("status", start, stop) == VALID, values, np.nan)[:, None]

    def chunks(self):
        """(first row, float64 [n, columns]) chunk by chunk."""
        for start in range(0, self.rows, CHUNK_ROWS):
            yield start, self.read(start, min(start + CHUNK_ROWS, self.rows))

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Chosen rows in their order, float64 [n, columns]."""
        found = np.empty((len(rows), self.columns))
        for start, values in self.chunks():
            inside = (rows >= start) & (rows < start + len(values))
            found[inside] = values[rows[inside] - start]
        return found

    def sums(self, subsets: list[np.ndarray]) -> np.ndarray:
        """Sum of the predictions over each subset of rows, float64 [subsets, columns]; flagged rows add nothing."""
        member = np.zeros((len(subsets), self.rows))
        for number, rows in enumerate(subsets):
            member[number, rows] = 1
        total = np.zeros((len(subsets), self.columns))
        for start, values in self.chunks():
            total += member[:, start : start + len(values)] @ np.nan_to_num(values, nan=0.0)
        return total

    def means(self, columns: np.ndarray) -> np.ndarray:
        """Of every row its mean over some columns, float64 [rows]."""
        return np.concatenate([values[:, columns].mean(axis=1) for _, values in self.chunks()])


def task_scores(config: Experiment, candidate: Candidate, task: str) -> np.ndarray:
    """How helpful every pool row is to a task: mean over its validation examples, float64 [rows]. task: none where there is one number."""
    predictions = Predictions(config, candidate)
    return predictions.means(np.flatnonzero(predictions.tasks == task))
