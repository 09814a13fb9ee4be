"""EK-FAC: gradients times the inverse of the curvature of the adapter's linear maps (arXiv 2308.03296; method.md, "Estimators").

A LoRA pair is two linear maps, into the rank and out of it. Of one with inputs x and output gradients g, the eigenvectors Q_A of E[x x^T]
and Q_S of E[g g^T] and the corrected eigenvalues Lambda = E[(Q_S^T G Q_A)^2] are fitted beforehand (curvature/ekfac.py). Then

    H^-1 G = Q_S [(Q_S^T G Q_A) / (Lambda + damping * mean(Lambda))] Q_A^T

and influence is the sum over maps of <G_i, H^-1 G_j>. The inverse is applied to targets, before they are projected. `ekfac_unit` divides a
pool row by its own length in that metric, <G_i, H^-1 G_i>^(1/2), so that large gradients do not win by their size.
A map that no gradient of the sample reached has no curvature, and takes no part.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from equipoise.config import Experiment
from equipoise.gradients.adapter_rows import Tracin, Turned
from equipoise.gradients.fitted import open_fitted
from equipoise.gradients.projection import Projector
from equipoise.gradients.rows import LoraRows
from equipoise.layout import Epoch

if TYPE_CHECKING:
    import numpy as np

    from equipoise.gradients.engine import Engine

BASES, EIGENVALUES = "bases", "eigenvalues"
"""Files of a fitted curvature, safetensors: `<parameter>.input` [in, in] and `.output` [out, out], eigenvectors in columns, and
`<parameter>` [out, in], all float32."""


@dataclass(frozen=True)
class Basis:
    """Curvature of one linear map: eigenvectors input [in, in] and output [out, out], and 1 / (Lambda + damping mean(Lambda)) [out, in]."""

    input: torch.Tensor
    output: torch.Tensor
    inverse: torch.Tensor

    def coordinates(self, gradients: torch.Tensor) -> torch.Tensor:
        """Q_S^T G Q_A, [..., out, in]."""
        return self.output.T @ gradients @ self.input

    def solved(self, gradients: torch.Tensor) -> torch.Tensor:
        """H^-1 G, [..., out, in]."""
        return self.output @ (self.coordinates(gradients) * self.inverse) @ self.input.T

    def squares(self, gradients: torch.Tensor) -> torch.Tensor:
        """<G, H^-1 G>, float64 [...]."""
        return (self.coordinates(gradients).square() * self.inverse).sum(dim=(-2, -1), dtype=torch.float64)


def inverse_eigenvalues(eigenvalues: torch.Tensor, damping: float) -> torch.Tensor:
    """1 / (Lambda + damping * mean(Lambda)), float64 [out, in]; zero where the mean is."""
    wide = eigenvalues.double()
    mean = wide.mean()
    return 1.0 / (wide + damping * mean) if mean > 0 else torch.zeros_like(wide)


class PreconditionedRows(LoraRows):
    """Rows of H^-1 G."""

    def __init__(self, projector: Projector, bases: dict[str, Basis]):
        super().__init__(projector)
        self._bases = bases

    def _turned(self, name: str, part: slice, gradients: torch.Tensor) -> torch.Tensor:
        return self._bases[name].solved(gradients)


class UnitRows(LoraRows):
    """Rows of G / <G, H^-1 G>^(1/2)."""

    def __init__(self, projector: Projector, bases: dict[str, Basis]):
        super().__init__(projector)
        self._bases = bases
        self._squares = torch.zeros(0)

    def start(self, count: int, device: torch.device) -> None:
        super().start(count, device)
        self._squares = torch.zeros(count, dtype=torch.float64, device=device)

    def _turned(self, name: str, part: slice, gradients: torch.Tensor) -> torch.Tensor:
        self._squares[part] += self._bases[name].squares(gradients)
        return gradients

    def finish(self, loss: "np.ndarray") -> "np.ndarray":
        return super().finish(loss) / self._squares.sqrt().cpu().numpy()[:, None]


class Ekfac(Tracin):
    """Gradients of the pool as they are, those of targets in the inverse curvature."""

    def __init__(self, config: Experiment):
        super().__init__(config)
        self._opened = cache(lambda epoch: open_fitted(config, epoch))

    def inputs(self, side: str, epoch: Epoch) -> dict[str, Any]:
        """As `estimator.Rows.inputs`: the curvature, where the side's rows are made with it."""
        if not self._preconditions(side):
            return {}
        manifest, _ = self._opened(epoch)
        return {"curvature": [manifest["fingerprint"], manifest["files"]]}

    def maker(self, engine: "Engine", side: str, epoch: Epoch) -> LoraRows:
        if not self._preconditions(side):
            return super().maker(engine, side, epoch)
        bases = self._bases(epoch, torch.float32, engine.device)
        return (PreconditionedRows if side == "target" else UnitRows)(self._projector_of(engine), bases)

    def _preconditions(self, side: str) -> bool:
        return side == "target"

    def _bases(self, epoch: Epoch, kind: torch.dtype, device: torch.device | str) -> dict[str, Basis]:
        """By saved name of the map's parameter."""
        from safetensors.torch import load_file

        _, folder = self._opened(epoch)
        vectors, values = (load_file(folder / f"{name}.safetensors", device=str(device)) for name in (BASES, EIGENVALUES))
        damping = self._config.gradients.ekfac.damping
        return {
            name: Basis(
                vectors[f"{name}.input"].to(kind), vectors[f"{name}.output"].to(kind), inverse_eigenvalues(values[name], damping).to(kind)
            )
            for name in values
        }

    def _turned(self, side: str, epoch: Epoch) -> Turned:
        """In float64, from the whole gradients; the curvature itself is the fitted one."""
        if not self._preconditions(side):
            return super()._turned(side, epoch)
        bases = self._bases(epoch, torch.float64, "cpu")

        def turned(gradients: dict[str, torch.Tensor], loss: float) -> tuple[dict[str, torch.Tensor], float]:
            wide = {name: gradient.double().cpu() for name, gradient in gradients.items()}
            if side == "pool":
                return gradients, float(sum(bases[name].squares(each) for name, each in wide.items())) ** -0.5
            return {name: bases[name].solved(each).float().to(gradients[name].device) for name, each in wide.items()}, 1.0

        return turned


class EkfacUnit(Ekfac):
    """As `Ekfac`, with rows of the pool of unit length in the metric of the inverse curvature."""

    def _preconditions(self, side: str) -> bool:
        return True
