"""What an estimator's class gives the collection loop and the audit (the estimators themselves: equipoise/estimators.py).

The audit holds the engine to torch's own autograd through PEFT's layers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from equipoise.layout import Epoch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from peft import PeftModel

    from equipoise.gradients.engine import Engine
    from equipoise.gradients.rows import RowMaker
    from equipoise.modelling.chat import Encoded

Recompute = Callable[["Encoded"], tuple["np.ndarray", float]]
"""An example's row, float64 [k], and its loss, by plain autograd."""


class Rows(Protocol):
    """Makes the rows of an experiment's stores. side: pool or target; epoch: that of the checkpoint whose adapter the model carries."""

    def inputs(self, side: str, epoch: Epoch) -> dict[str, Any]:
        """Digests of what the rows are made from beside configuration, base, adapter and their own tokens, for the fingerprint."""

    def maker(self, engine: "Engine", side: str, epoch: Epoch) -> "RowMaker":
        """Makes rows while the engine's backward pass runs."""

    def recompute(self, model: "PeftModel", side: str, epoch: Epoch) -> Recompute:
        """Makes them one example at a time by torch's autograd, for the audit; shares with `maker` as little as possible."""


def autograd_gradients(
    model: "PeftModel", example: "Encoded", parameters: "dict[str, torch.Tensor]"
) -> tuple[dict[str, "torch.Tensor"], float]:
    """Gradients of one example's mean completion loss for named parameters, and that loss, by torch's autograd through PEFT's layers."""
    import torch

    from equipoise.modelling.chat import pad

    for parameter in parameters.values():
        parameter.requires_grad_(True)
    batch = {name: tensor.to(model.device) for name, tensor in pad([example], 0).items()}
    loss = model(**batch).loss
    gradients = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)  # an expert may get no token
    return dict(zip(parameters, gradients, strict=True)), float(loss.detach())
