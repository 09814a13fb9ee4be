"""Reads a sealed matrix whole: 400 MB at the paper's size."""

from dataclasses import dataclass

import numpy as np

from equipoise.attribution.matrix_store import open_array, read_rows, read_valid, refuse_missing_chunks
from equipoise.errors import UserError
from equipoise.layout import Layout
from equipoise.store.manifest import read_manifest


@dataclass(frozen=True)
class Matrix:
    """values: float32 [rows, columns], flagged rows all-NaN; valid: bool [rows]; columns: [{task, id}]; mean, std: float64 [columns]."""

    values: np.ndarray
    valid: np.ndarray
    columns: list[dict[str, str]]
    mean: np.ndarray
    std: np.ndarray


def read_matrix(layout: Layout, name: str) -> Matrix:
    """The sealed matrix `name`; raises `UserError` when it is not sealed, damaged or has fewer than two valid rows."""
    manifest = read_manifest(layout.matrix_manifest(name), "matrix")
    path = layout.matrix(name)
    array = open_array(path)
    refuse_missing_chunks(path, array)
    if manifest["std"] is None:
        raise UserError(f"{layout.matrix_manifest(name)}: fewer than two valid rows, so there is nothing to report; use a larger pool")
    mean, std = np.array(manifest["mean"], np.float64), np.array(manifest["std"], np.float64)
    return Matrix(read_rows(path, array, 0, manifest["rows"]), read_valid(path), manifest["columns"], mean, std)
