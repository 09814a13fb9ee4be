"""What an estimator has fitted at an epoch (curvature, kernel; the rule `fit_curvature`), opened through its manifest.

A manifest (kind `curvature`, `Layout.curvature_manifest`) holds, besides what every artefact's does, the estimator's implementation, epoch,
settings (fingerprint of configuration and adapter), inputs (what it was made from beside them) and fingerprint of both.
"""

from pathlib import Path

from equipoise.config import Experiment
from equipoise.determinants import determinants
from equipoise.errors import UserError
from equipoise.estimators import row_estimator
from equipoise.experiment import collected_shards
from equipoise.layout import Epoch
from equipoise.modelling.checkpoint import adapter_identity
from equipoise.store.artefact import Artefact, open_artefact
from equipoise.store.manifest import fingerprint

FORMAT = 1


def fit_settings(config: Experiment, epoch: Epoch) -> str:
    """Fingerprint of the configuration and adapter that determine a fit at an epoch; what it is made from besides is its `inputs`."""
    fitted = row_estimator(config.gradients).fitted
    values = determinants(config, "fit_curvature")
    adapter = adapter_identity(open_artefact(config, "checkpoint", epoch=epoch).folder())
    return fingerprint({"format": FORMAT, "fit": fitted.implementation, "config": values, "adapter": adapter})


def pool_rows_identity(config: Experiment, epoch: Epoch) -> list[list[str]]:
    """Fingerprint and digest of the pool's rows at an epoch, shard by shard: the inputs of a fit that is made from them."""
    parts = [open_artefact(config, "pool_gradients", epoch=epoch, shard=shard) for shard in collected_shards(config)]
    return [[part["fingerprint"], part["digest"]] for part in parts]


def open_fitted(config: Experiment, epoch: Epoch) -> tuple[Artefact, Path]:
    """Manifest and folder of what was fitted at an epoch, all files sound.

    Raises `UserError` for one that is missing, damaged, or made with other settings, another adapter or other rows of the pool.
    """
    made = open_artefact(config, "curvature", epoch=epoch)
    if made["settings"] != fit_settings(config, epoch):
        raise UserError(f"{made.path}: was fitted by another version or with other settings; run fit_curvature --epochs {epoch}")
    return made, made.folder()
