"""What an estimator's class gives the collection loop and the audit (the estimators themselves: equipoise/estimators.py)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from equipoise.config import Experiment
from equipoise.estimators import estimator

if TYPE_CHECKING:
    import numpy as np
    from peft import PeftModel

    from equipoise.gradients.engine import Engine
    from equipoise.gradients.rows import RowMaker
    from equipoise.modelling.chat import Encoded

Recompute = Callable[["Encoded"], tuple["np.ndarray", float]]
"""An example's row, float64 [k], and its loss, by plain autograd."""


class Rows(Protocol):
    """Makes the rows of an experiment's stores. `side` is pool or target, `folder` the epoch checkpoint whose adapter the model carries."""

    def inputs(self, side: str, folder: str) -> dict[str, Any]:
        """Digests of what the rows are made from beside configuration, base, adapter and their own tokens, for the fingerprint."""

    def maker(self, engine: "Engine", side: str, folder: str) -> "RowMaker":
        """Makes rows while the engine's backward pass runs."""

    def recompute(self, model: "PeftModel", side: str, folder: str) -> Recompute:
        """Makes them one example at a time by torch's autograd, for the audit; shares with `maker` as little as possible."""


def build_rows(config: Experiment) -> Rows:
    """The rows of the estimator that `gradients.estimator` names."""
    return estimator(config.gradients.estimator).load()(config)
