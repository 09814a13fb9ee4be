"""Gradients of one example by torch's own autograd, through PEFT's layers: what the engine is held to."""

from typing import TYPE_CHECKING

from equipoise.modelling.chat import Encoded, pad

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


def autograd_gradients(
    model: "PeftModel", example: Encoded, parameters: "dict[str, torch.Tensor]"
) -> tuple[dict[str, "torch.Tensor"], float]:
    """Gradients of one example's mean completion loss for named parameters, and that loss, by torch's autograd through PEFT's layers."""
    import torch

    for parameter in parameters.values():
        parameter.requires_grad_(True)
    batch = {name: tensor.to(model.device) for name, tensor in pad([example], 0).items()}
    loss = model(**batch).loss
    found = torch.autograd.grad(loss, list(parameters.values()))
    return dict(zip(parameters, found, strict=True)), float(loss.detach())
