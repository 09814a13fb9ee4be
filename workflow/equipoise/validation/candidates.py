"""What a candidate predicts: the matrix of an estimator or of hidden states, one number a row, or random numbers."""

import numpy as np

from equipoise.attribution.matrix_store import open_array, read_rows, read_valid, refuse_missing_chunks
from equipoise.comparison import Candidate, estimated_by
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS
from equipoise.seeds import derive_seed
from equipoise.selectors import MATRICES
from equipoise.store.gradients import VALID, GradientReader
from equipoise.store.manifest import read_manifest


class Predictions:
    """Of all pool rows, for all validation examples or one number for all of them, read in chunks of rows; NaN in flagged ones.

    tasks: text [columns], of every validation example; one empty text where there is one number. identity: of what they are read from.
    """

    def __init__(self, config: Experiment, candidate: Candidate):
        self._config, self._candidate = config, candidate
        self.rows = read_manifest(config.layout.pool_manifest, "pool")["rows"]
        if candidate.by_task:
            of = estimated_by(config, candidate.estimator or "")
            self._name = candidate.matrix or MATRICES[0]
            manifest = read_manifest(of.layout.matrix_manifest(self._name), "matrix")
            if manifest["rows"] != self.rows:
                raise UserError(
                    f"{of.layout.matrix_manifest(self._name)}: has {manifest['rows']} rows, the pool {self.rows}; seal it again"
                )
            self._path = of.layout.matrix(self._name)
            self._array, self._valid = open_array(self._path), read_valid(self._path)
            refuse_missing_chunks(self._path, self._array)
            self.tasks = np.array([column["task"] for column in manifest["columns"]])
            self.identity: str = manifest["fingerprint"]
        else:
            self.identity = candidate.name
            self.tasks = np.array([""])
        self.columns = len(self.tasks)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), float64 [n, columns]."""
        if self._candidate.by_task:
            values = read_rows(self._path, self._array, start, stop).astype(np.float64)
            values[~self._valid[start:stop]] = np.nan
            return values
        if not self._candidate.column:
            seed = derive_seed(self._config.seed, "validation", "random numbers", start)
            return np.random.Generator(np.random.PCG64(seed)).normal(size=(stop - start, 1))
        reader = GradientReader(self._config.layout.pool_gradients(self._config.warmup.epochs))
        values = reader.read_column(self._candidate.column, start, stop).astype(np.float64)
        return np.where(reader.read_column("status", start, stop) == VALID, values, np.nan)[:, None]

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
