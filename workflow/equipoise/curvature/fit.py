"""The stage fit_curvature: what the estimator needs at an epoch before some of its rows can be made (`estimators.Fitted`).

A class that fits has the form of `Fit`. Its files lie in `Layout.curvature`, their manifest (gradients/fitted.py) is written last. A
finished file has a record of its own beside it, so that a job that was killed goes on from there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.estimators import row_estimator
from equipoise.files import atomic_path, file_digest
from equipoise.gradients.fitted import fit_settings
from equipoise.layout import Epoch
from equipoise.progress import log
from equipoise.store.artefact import publish
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest

if TYPE_CHECKING:
    import numpy as np
    import torch

PART_KIND = "curvature_part"


class Fit(Protocol):
    """Fits one estimator's curvature; made from the experiment."""

    def inputs(self, epoch: Epoch) -> Any:
        """What it is made from beside configuration and adapter, JSON-able."""

    def fit(self, epoch: Epoch, parts: "Parts") -> dict[str, Any]:
        """Leaves all files through `parts`; returns what the manifest also says."""

    def solved(self, epoch: Epoch, targets: "np.ndarray") -> "np.ndarray":
        """Only where `matrix` is among the entry's sides: what becomes of targets' rows, float64 [V, k], when the matrix is assembled."""


class Parts:
    """The files of one fit; `mark` is the fingerprint of all that determines them."""

    def __init__(self, folder: Path, mark: str):
        self._folder, self._mark = folder, mark
        self.names: list[str] = []

    def finished(self, name: str) -> dict[str, Any] | None:
        """The notes beside a file that is whole and of this fit, else None."""
        try:
            record = read_manifest(self._record(name), PART_KIND)
            if record["fingerprint"] != self._mark or record["digest"] != file_digest(self.path(name)):
                return None
        except (UserError, OSError, KeyError):
            return None
        self.names.append(name)
        log(f"{self.path(name)}: is already there")
        return record["notes"]

    def write(self, name: str, arrays: "Mapping[str, np.ndarray] | Mapping[str, torch.Tensor]", **notes: Any) -> dict[str, Any]:
        """Writes a file of arrays, then its record with notes; returns the notes."""
        import numpy as np

        if isinstance(next(iter(arrays.values())), np.ndarray):
            from safetensors.numpy import save_file
        else:
            from safetensors.torch import save_file
        self._folder.mkdir(parents=True, exist_ok=True)
        self._record(name).unlink(missing_ok=True)
        with atomic_path(self.path(name)) as part:
            save_file(dict(arrays), part)
        digest = file_digest(self.path(name))
        write_manifest(self._record(name), PART_KIND, fingerprint=self._mark, digest=digest, notes=notes)
        self.names.append(name)
        return json.loads(json.dumps(notes))

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self._folder / f"{name}.safetensors"

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def fit_curvature(config: Experiment, epochs: list[Epoch]) -> None:
    """Fits what the estimator needs at the checkpoints of `epochs`; what is whole and of the same inputs is left alone.

    Raises `UserError` for inputs that are missing.
    """
    entry, layout = row_estimator(config.gradients), config.layout
    fit = entry.fitted.load()(config)
    for epoch in epochs:
        settings, inputs = fit_settings(config, epoch), fit.inputs(epoch)
        parts = Parts(Path(layout.curvature(epoch)), fingerprint([settings, inputs]))
        Path(layout.curvature_manifest(epoch)).unlink(missing_ok=True)
        facts = fit.fit(epoch, parts)
        publish(
            config,
            "curvature",
            {"epoch": epoch},
            [parts.path(name) for name in parts.names],
            **facts,
            fit=entry.fitted.implementation,
            epoch=epoch,
            settings=settings,
            inputs=inputs,
            fingerprint=fingerprint([settings, inputs]),
        )
