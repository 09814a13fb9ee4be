"""The Adam map: a pool example's gradient as the step that Adam would take with it (method: gradients).

less:  m' / sqrt(v' + eps), no bias correction, eps inside the root (LESS and the paper)
torch: m^ / (sqrt(v^) + eps) with bias correction, as torch's Adam computes its next step
with m' = b1 m + (1 - b1) g and v' = b2 v + (1 - b2) g^2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Moments:
    """Adam's state at a checkpoint: float32 tensors by saved name, shaped as the parameters; `step` steps were taken."""

    first: dict[str, "torch.Tensor"]
    second: dict[str, "torch.Tensor"]
    step: int
    beta1: float
    beta2: float
    eps: float


@dataclass(frozen=True)
class Constants:
    """What one parameter's map needs: (first + a g) / (sqrt(second + b g^2) + eps), elementwise, first and second float32 [numel]."""

    first: "torch.Tensor"
    second: "torch.Tensor"
    a: float
    b: float
    eps: float

    def apply(self, gradient: "torch.Tensor") -> "torch.Tensor":
        """The map of float32 [n, numel], one rounding per operation, in the order of the CPU kernel."""
        inside = self.second + (gradient * gradient) * self.b
        # torch's float32 root on CPUs (MKL) is not correctly rounded, CUDA's and numba's are
        root = inside.double().sqrt().float() if inside.device.type == "cpu" else inside.sqrt()
        return (self.first + gradient * self.a) / (root + self.eps)


def adam_constants(moments: Moments, form: Literal["less", "torch"], device: "torch.device | str") -> dict[str, Constants]:
    """Constants of every parameter by saved name; computed in float64, kept in float32."""
    b1, b2 = moments.beta1, moments.beta2
    correct_1 = 1.0 - b1 ** (moments.step + 1) if form == "torch" else 1.0
    correct_2 = 1.0 - b2 ** (moments.step + 1) if form == "torch" else 1.0
    inside, outside = (0.0, moments.eps) if form == "torch" else (moments.eps, 0.0)
    return {
        name: Constants(
            first=(first.double() * (b1 / correct_1)).float().flatten().to(device),
            second=(moments.second[name].double() * (b2 / correct_2) + inside).float().flatten().to(device),
            a=(1.0 - b1) / correct_1,
            b=(1.0 - b2) / correct_2,
            eps=outside,
        )
        for name, first in moments.first.items()
    }
