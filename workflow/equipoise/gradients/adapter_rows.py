"""Rows from the gradients of the adapter's parameters, projected: `less` and `tracin` (method.md, "Estimators")."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.config import Experiment
from equipoise.gradients.adam import Constants, adam_constants, load_moments, moments_identity
from equipoise.gradients.estimator import Recompute, autograd_gradients
from equipoise.gradients.projection import Projector, build_projector
from equipoise.gradients.rows import LoraRows
from equipoise.gradients.width import projection_of
from equipoise.layout import Epoch
from equipoise.modelling.adapter import lora_parameters
from equipoise.modelling.chat import Encoded
from equipoise.store.artefact import open_artefact

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

    from equipoise.gradients.engine import Engine


Turned = Callable[[dict[str, "torch.Tensor"], float], tuple[dict[str, "torch.Tensor"], float]]


class Tracin:
    """Plain gradients on both sides (arXiv 2002.08484)."""

    def __init__(self, config: Experiment):
        self._config = config

    def inputs(self, side: str, epoch: Epoch) -> dict[str, Any]:
        """As `estimator.Rows.inputs`: nothing more."""
        return {}

    def maker(self, engine: "Engine", side: str, epoch: Epoch) -> LoraRows:
        return LoraRows(self._projector_of(engine), self._adam(engine.model, side, epoch))

    def recompute(self, model: "PeftModel", side: str, epoch: Epoch) -> Recompute:
        import torch

        projector = self._projector({name: parameter.numel() for name, parameter in lora_parameters(model).items()})
        adam, turned = self._adam(model, side, epoch) or {}, self._turned(side, epoch)

        def row(example: Encoded) -> tuple[np.ndarray, float]:
            gradients, loss = autograd_gradients(model, example, lora_parameters(model))
            total = torch.zeros(1, projector.dimension, dtype=torch.float64, device=model.device)
            gradients, scale = turned(gradients, loss)
            for name, gradient in gradients.items():
                projector.add(total, name, gradient.reshape(1, -1), adam.get(name))
            return projector.finish(total.cpu().numpy())[0] * scale, loss

        return row

    def _projector_of(self, engine: "Engine") -> Projector:
        return self._projector({name: rows * columns for name, (rows, columns) in engine.capture.shapes.items()})

    def _projector(self, sizes: dict[str, int]) -> Projector:
        return build_projector(projection_of(self._config), sizes, self._config.seed)

    def _adam(self, model: "PeftModel", side: str, epoch: Epoch) -> dict[str, Constants] | None:
        return None

    def _turned(self, side: str, epoch: Epoch) -> Turned:
        """What `recompute` does to an example's gradients before they are projected, and by what their row is multiplied."""
        return lambda gradients, loss: (gradients, 1.0)


class Less(Tracin):
    """Adam's steps on the pool's side, plain gradients on the targets' (arXiv 2402.04333)."""

    def inputs(self, side: str, epoch: Epoch) -> dict[str, Any]:
        """As `estimator.Rows.inputs`: Adam's moments for the pool."""
        return {"moments": moments_identity(open_artefact(self._config, "checkpoint", epoch=epoch).folder())} if side == "pool" else {}

    def _adam(self, model: "PeftModel", side: str, epoch: Epoch) -> dict[str, Constants] | None:
        if side == "target":
            return None
        return adam_constants(
            load_moments(open_artefact(self._config, "checkpoint", epoch=epoch).folder(), model),
            self._config.gradients.adam_form,
            model.device,
        )
