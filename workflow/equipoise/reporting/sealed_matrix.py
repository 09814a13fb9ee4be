"""Reads a sealed matrix by blocks: whatever the pool's size, no more of it is in memory than a block and the rows asked for."""

from dataclasses import dataclass

import numpy as np

from equipoise.attribution.matrix_store import open_values, read_valid
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.selection.source import Source
from equipoise.store.artefact import open_artefact


@dataclass(frozen=True)
class Matrix:
    """source: float32 [rows, columns], flagged rows all-NaN; valid: bool [rows]; columns: [{task, id}]; mean, std: float64 [columns]."""

    source: Source
    valid: np.ndarray
    columns: list[dict[str, str]]
    mean: np.ndarray
    std: np.ndarray

    def taken(self, *lists: np.ndarray) -> list[np.ndarray]:
        """For each list of row numbers its rows in their order, float32 [n, columns]: for lists that do not grow with the pool."""
        taken = [np.empty((len(rows), self.source.columns), np.float32) for rows in lists]
        for part in self.source.parts(*lists):
            taken[part.of][part.places] = part.values
        return taken

    def normalised(self, values: np.ndarray) -> np.ndarray:
        """z-scores of rows of the matrix, float64 [n, columns]; columns without spread are nan."""
        return (values.astype(np.float64) - self.mean) / np.where(self.std > 0, self.std, np.nan)


def read_matrix(config: Experiment, name: str) -> Matrix:
    """The sealed matrix `name`; raises `UserError` when it is not sealed, damaged or has fewer than two valid rows."""
    manifest = open_artefact(config, "matrix", matrix=name)
    if manifest["std"] is None:
        raise UserError(f"{manifest.path}: fewer than two valid rows, so there is nothing to report; use a larger pool")
    mean, std = np.array(manifest["mean"], np.float64), np.array(manifest["std"], np.float64)
    return Matrix(Source(open_values(manifest), f"the matrix {name}"), read_valid(manifest), manifest["columns"], mean, std)
