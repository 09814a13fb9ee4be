"""Fits TRAK's kernel at an epoch: K = Phi^T Phi + lambda I over the pool's stored rows Phi, its Cholesky factor, and targets' rows.

Definition: method.md, "Estimators".

One job streams the store in chunks of 1,024 rows in row order into one float64 matrix, so that neither the number of shards nor that of
jobs changes a bit; lambda is `damping` times the kernel's mean eigenvalue.

A store of fewer rows n than numbers k has a kernel of rank n. Then the smaller G = Phi Phi^T + lambda I, [n, n], is factored, and
K^-1 t = (t - Phi^T G^-1 Phi t) / lambda by Woodbury's identity, with Phi read again.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from equipoise.config import Experiment
from equipoise.curvature.fit import Parts
from equipoise.errors import UserError
from equipoise.gradients.fitted import open_fitted, pool_rows_identity
from equipoise.layout import CHUNK_ROWS, Epoch
from equipoise.progress import log, track
from equipoise.store.gradients import LEAST_DOUBT, VALID, GradientReader, one_minus_p, open_pool_rows

CHOLESKY = "cholesky"
"""File of a fitted kernel, safetensors: `lower` float64, L of L L^T = K [k, k], or G [n, n] where there are fewer rows than numbers."""


class KernelFit:
    """The Cholesky factor of the damped kernel."""

    def __init__(self, config: Experiment):
        self._config = config

    def inputs(self, epoch: Epoch) -> list[list[str]]:
        """As `Fit.inputs`: the pool's rows."""
        return pool_rows_identity(self._config, epoch)

    def solved(self, epoch: Epoch, targets: np.ndarray) -> np.ndarray:
        """Rows of targets, float64 [V, k], times the kernel's inverse. Raises `UserError` for a fit that is missing, damaged or stale."""
        from safetensors.numpy import load_file
        from scipy.linalg import cho_solve

        made, folder = open_fitted(self._config, epoch)
        lower = load_file(folder / f"{CHOLESKY}.safetensors")["lower"]
        if len(lower) == targets.shape[1]:
            return cho_solve((lower, True), targets.T, check_finite=False).T
        phi = pool_rows(open_pool_rows(self._config, epoch), f"kernel, epoch {epoch}")[0]
        return (targets - cho_solve((lower, True), phi @ targets.T, check_finite=False).T @ phi) / made["ridge"]

    def fit(self, epoch: Epoch, parts: Parts) -> dict[str, Any]:
        """As `Fit.fit`: how many rows there were, and for how many 1 - p was raised to its floor. Raises `UserError` without a row."""
        from scipy.linalg import cholesky

        notes = parts.finished(CHOLESKY)
        if notes is not None:
            return notes
        reader = open_pool_rows(self._config, epoch)
        title = f"kernel, epoch {epoch}"
        kernel, rows, floored = (small_kernel if reader.rows < reader.dimension else kernel_of)(reader, title)
        if not rows:
            raise UserError(f"{reader.path}: has no valid row, so there is no kernel")
        if floored:
            log(f"epoch {epoch}: {floored:,} of {rows:,} rows have a loss so small that 1 - p is raised to {LEAST_DOUBT:g}")
        ridge = float(self._config.gradients.trak.damping * np.trace(kernel) / reader.dimension)
        kernel[np.diag_indices_from(kernel)] += ridge
        lower = cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
        return parts.write(CHOLESKY, {"lower": np.ascontiguousarray(lower)}, rows=rows, floored=floored, ridge=ridge)


def kernel_of(reader: GradientReader, title: str) -> tuple[np.ndarray, int, int]:
    """Sum of phi phi^T over a store's valid rows, the lower triangle, float64 [k, k]; how many there are, and how many are floored."""
    from scipy.linalg.blas import dsyrk

    kernel, count, floored = np.zeros((reader.dimension, reader.dimension), order="F"), 0, 0
    for phi, known in _chunks(reader, title):
        kernel = dsyrk(1.0, phi.T, beta=1.0, c=kernel, lower=1, overwrite_c=1) if len(phi) else kernel
        count += len(phi)
        floored += known
    return kernel, count, floored


def small_kernel(reader: GradientReader, title: str) -> tuple[np.ndarray, int, int]:
    """As `kernel_of`, of Phi Phi^T, [n, n]; holds Phi, which is smaller than the kernel [k, k] that it is there instead of."""
    from scipy.linalg.blas import dsyrk

    phi, floored = pool_rows(reader, title)
    return dsyrk(1.0, phi.T, trans=1, lower=1) if len(phi) else np.zeros((0, 0)), len(phi), floored


def pool_rows(reader: GradientReader, title: str) -> tuple[np.ndarray, int]:
    """Phi, a store's valid rows, float64 [n, k], and how many of them are floored."""
    parts = list(_chunks(reader, title))
    return np.concatenate([phi for phi, _ in parts]), sum(known for _, known in parts)


def _chunks(reader: GradientReader, title: str) -> Iterator[tuple[np.ndarray, int]]:
    """The valid rows of every chunk, and how many of them are floored."""
    bounds = [(start, min(start + CHUNK_ROWS, reader.rows)) for start in range(0, reader.rows, CHUNK_ROWS)]
    for bound in track(bounds, title, reader.rows, "rows", lambda each: each[1] - each[0]):
        rows = reader.read(*bound)
        valid = rows.status == VALID
        phi = rows.directions[valid].astype(np.float64) * rows.norm[valid, None]
        yield phi, int(np.count_nonzero(one_minus_p(rows.loss[valid]) <= LEAST_DOUBT))
