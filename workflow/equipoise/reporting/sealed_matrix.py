"""Reads a sealed matrix whole: 400 MB at the paper's size."""

from dataclasses import dataclass

import numpy as np

from equipoise.attribution.matrix_store import open_values, read_valid
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.store.artefact import open_artefact


@dataclass(frozen=True)
class Matrix:
    """values: float32 [rows, columns], flagged rows all-NaN; valid: bool [rows]; columns: [{task, id}]; mean, std: float64 [columns]."""

    values: np.ndarray
    valid: np.ndarray
    columns: list[dict[str, str]]
    mean: np.ndarray
    std: np.ndarray


def read_matrix(config: Experiment, name: str) -> Matrix:
    """The sealed matrix `name`; raises `UserError` when it is not sealed, damaged or has fewer than two valid rows."""
    manifest = open_artefact(config, "matrix", matrix=name)
    if manifest["std"] is None:
        raise UserError(f"{manifest.path}: fewer than two valid rows, so there is nothing to report; use a larger pool")
    mean, std = np.array(manifest["mean"], np.float64), np.array(manifest["std"], np.float64)
    return Matrix(open_values(manifest).read(0, manifest["rows"]), read_valid(manifest), manifest["columns"], mean, std)
