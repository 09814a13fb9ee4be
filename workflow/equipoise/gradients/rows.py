"""Turns the factors of per-example gradients into projected rows, one layer at a time (the sink of a `Capture`)."""

from typing import TYPE_CHECKING, Protocol

import torch

from equipoise.gradients.adam import Constants
from equipoise.gradients.capture import Factors, Layer
from equipoise.gradients.projection import Projector

if TYPE_CHECKING:
    import numpy as np

SLICE_NUMBERS = {"cpu": 1 << 21, "cuda": 1 << 26}


class RowMaker(Protocol):
    """Makes the rows of a batch while its backward pass runs."""

    dimension: int

    def start(self, count: int, device: torch.device) -> None:
        """Begins a batch of `count` examples."""

    def take(self, layer: Layer, factors: Factors) -> None:
        """Adds one layer's share."""

    def finish(self, loss: "np.ndarray") -> "np.ndarray":
        """Rows of the batch, float64 [count, dimension]; loss: of its examples, float64 [count]."""


class LoraRows:
    """Rows from the gradients of the adapter's parameters: product, Adam map if any, projection."""

    def __init__(self, projector: Projector, adam: dict[str, Constants] | None = None):
        self.dimension = projector.dimension
        self._projector, self._adam = projector, adam
        self._rows = torch.zeros(0, 0)

    def start(self, count: int, device: torch.device) -> None:
        self._rows = torch.zeros(count, self.dimension, dtype=torch.float64, device=device)

    def take(self, layer: Layer, factors: Factors) -> None:
        """As `RowMaker.take`: dA_i = g_hidden_i^T x_i [r, in] and dB_i = g_i^T hidden_i [out, r]."""
        self._add(layer.name_a, factors.g_hidden, factors.x)
        self._add(layer.name_b, factors.g, factors.hidden)

    def _add(self, name: str, left: torch.Tensor, right: torch.Tensor) -> None:
        numel = left.shape[2] * right.shape[2]
        step = max(1, SLICE_NUMBERS[left.device.type] // numel)
        for start in range(0, len(left), step):
            part = slice(start, start + step)
            gradient = self._turned(name, part, outer_products(left[part], right[part]))
            self._projector.add(self._rows[part], name, gradient.reshape(-1, numel), self._adam[name] if self._adam else None)

    def _turned(self, name: str, part: slice, gradients: torch.Tensor) -> torch.Tensor:
        """What is projected of a parameter's gradients of the examples `part` of the batch, float32 [n, a, b]."""
        return gradients

    def finish(self, loss: "np.ndarray") -> "np.ndarray":
        return self._projector.finish(self._rows.cpu().numpy())


def outer_products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """sum_t left[i, t] right[i, t]^T, float32 [n, a, b]; bf16 factors are multiplied without rounding the sums to bf16."""
    if left.dtype == torch.float32:
        return torch.bmm(left.transpose(1, 2), right)
    if left.device.type == "cuda":
        return torch.bmm(left.transpose(1, 2), right, out_dtype=torch.float32)
    return torch.bmm(left.float().transpose(1, 2), right.float())
