"""Rows from the gradients of the adapter's parameters, projected: `less` and `tracin` (method: estimators)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.config import Experiment
from equipoise.gradients.adam import Constants, adam_constants
from equipoise.gradients.adam_moments import load_moments, moments_identity
from equipoise.gradients.autograd import autograd_gradients
from equipoise.gradients.estimator import Recompute
from equipoise.gradients.projection import Projector, build_projector
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import lora_parameters
from equipoise.modelling.chat import Encoded

if TYPE_CHECKING:
    from peft import PeftModel

    from equipoise.gradients.engine import Engine


class Tracin:
    """Plain gradients on both sides (arXiv 2002.08484)."""

    def __init__(self, config: Experiment):
        self._config = config

    def inputs(self, side: str, folder: str) -> dict[str, Any]:
        """As `estimator.Rows.inputs`: nothing more."""
        return {}

    def maker(self, engine: "Engine", side: str, folder: str) -> LoraRows:
        """As `estimator.Rows.maker`."""
        sizes = {name: rows * columns for name, (rows, columns) in engine.capture.shapes.items()}
        return LoraRows(self._projector(sizes), self._adam(engine.model, side, folder))

    def recompute(self, model: "PeftModel", side: str, folder: str) -> Recompute:
        """As `estimator.Rows.recompute`."""
        import torch

        projector = self._projector({name: parameter.numel() for name, parameter in lora_parameters(model).items()})
        adam = self._adam(model, side, folder) or {}

        def row(example: Encoded) -> tuple[np.ndarray, float]:
            gradients, loss = autograd_gradients(model, example, lora_parameters(model))
            total = torch.zeros(1, projector.dimension, dtype=torch.float64, device=model.device)
            for name, gradient in gradients.items():
                projector.add(total, name, gradient.reshape(1, -1), adam.get(name))
            return projector.finish(total.cpu().numpy())[0], loss

        return row

    def _projector(self, sizes: dict[str, int]) -> Projector:
        return build_projector(self._config.gradients.projection, sizes, self._config.seed)

    def _adam(self, model: "PeftModel", side: str, folder: str) -> dict[str, Constants] | None:
        return None


class Less(Tracin):
    """Adam's steps on the pool's side, plain gradients on the targets' (arXiv 2402.04333)."""

    def inputs(self, side: str, folder: str) -> dict[str, Any]:
        """As `estimator.Rows.inputs`: Adam's moments for the pool."""
        return {"moments": moments_identity(folder)} if side == "pool" else {}

    def _adam(self, model: "PeftModel", side: str, folder: str) -> dict[str, Constants] | None:
        if side == "target":
            return None
        return adam_constants(load_moments(folder, model), self._config.gradients.adam_form, model.device)
