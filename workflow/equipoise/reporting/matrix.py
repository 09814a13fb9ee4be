"""Reads a sealed matrix whole."""

from dataclasses import dataclass

import numpy as np

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
    """The sealed matrix `name`; raises `UserError` when it is not sealed."""
    import zarr

    manifest = read_manifest(layout.matrix_manifest(name), "matrix")
    group = zarr.open_group(layout.matrix(name), mode="r")
    mean, std = np.array(manifest["mean"], np.float64), np.array(manifest["std"], np.float64)
    return Matrix(group["matrix"][:], group["valid"][:].astype(bool), manifest["columns"], mean, std)
