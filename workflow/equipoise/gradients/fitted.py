"""What an estimator has fitted at an epoch (curvature, kernel; the rule `fit_curvature`), opened through its manifest.

A manifest (kind `curvature`, `Layout.curvature_manifest`) holds estimator's implementation, epoch, settings (fingerprint of configuration
and adapter), inputs (what it was made from beside them), fingerprint of both, and the digest of every file in `Layout.curvature`.
"""

from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.errors import UserError
from equipoise.estimators import estimator
from equipoise.experiment import shards
from equipoise.files import file_digest
from equipoise.modelling.checkpoint import adapter_identity
from equipoise.store.manifest import fingerprint, read_manifest

KIND = "curvature"
FORMAT = 1


def fit_settings(config: Experiment, epoch: int) -> str:
    """Fingerprint of the configuration and adapter that determine a fit at an epoch; what it is made from besides is its `inputs`."""
    fitted = estimator(config.gradients.estimator).fitted
    values = determinants(config, "fit_curvature")
    adapter = adapter_identity(config.layout.checkpoint(epoch))
    return fingerprint({"format": FORMAT, "fit": fitted.implementation, "config": values, "adapter": adapter})


def pool_rows_identity(config: Experiment, epoch: int) -> list[list[str]]:
    """Fingerprint and digest of the pool's rows at an epoch, shard by shard: the inputs of a fit that is made from them."""
    paths = [config.layout.pool_gradients_manifest(epoch, shard) for shard in shards(config)]
    return [[manifest["fingerprint"], manifest["digest"]] for manifest in (read_manifest(path, "pool_gradients") for path in paths)]


def open_fitted(config: Experiment, epoch: int) -> tuple[dict[str, Any], Path]:
    """Manifest and folder of what was fitted at an epoch.

    Raises `UserError` for one that is missing, damaged, or made with other settings, another adapter or other rows of the pool.
    """
    layout = config.layout
    path, folder = layout.curvature_manifest(epoch), Path(layout.curvature(epoch))
    manifest = read_manifest(path, KIND)
    stale = manifest["settings"] != fit_settings(config, epoch)
    if not stale and estimator(config.gradients.estimator).fitted.from_rows:
        stale = manifest["inputs"] != pool_rows_identity(config, epoch)
    if stale:
        raise UserError(
            f"{path}: was fitted with other settings, at another adapter or from other rows; run fit_curvature --epochs {epoch}"
        )
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise UserError(f"{folder / name}: missing, or not the file that {path} vouches for; run fit_curvature --epochs {epoch}")
    return manifest, folder
