"""TRAK's rows: projected gradients of the log-odds (arXiv 2303.14186; method.md, "Estimators").

f = log p / (1 - p) with p = exp(-loss), so that its gradient is -g / (1 - p), g the gradient of the loss. The kernel of the pool's rows is
fitted afterwards (curvature/kernel.py) and inverted where the matrix is assembled: a stored product with its inverse would be rounded, and
what lies in no pool row, which the inverse makes large, would drown the rest. 1 - p is at least `LEAST_DOUBT` (store/gradients.py).
"""

from typing import TYPE_CHECKING

import numpy as np

from equipoise.gradients.adapter_rows import Tracin, Turned
from equipoise.gradients.rows import LoraRows
from equipoise.layout import Epoch
from equipoise.store.gradients import one_minus_p

if TYPE_CHECKING:
    import torch

    from equipoise.gradients.engine import Engine


class LogOddsRows(LoraRows):
    """Rows -g / (1 - p)."""

    def finish(self, loss: np.ndarray) -> np.ndarray:
        return super().finish(loss) / -one_minus_p(loss)[:, None]


class Trak(Tracin):
    """Gradients of the log-odds on both sides."""

    def maker(self, engine: "Engine", side: str, epoch: Epoch) -> LoraRows:
        return LogOddsRows(self._projector_of(engine))

    def _turned(self, side: str, epoch: Epoch) -> Turned:
        def turned(gradients: "dict[str, torch.Tensor]", loss: float) -> "tuple[dict[str, torch.Tensor], float]":
            return gradients, 1 / -float(one_minus_p(np.float64(loss)))

        return turned
