"""The estimators of influence: every fact of each, once. Configuration, workflow, planning, collection and audit ask here.

The matrix is A = sum_e w_e <target row, pool row> over the stores' rows: of unit rows (`scaled` false: cosines) or with their norms
multiplied back in (`scaled` true: dot products); see store/gradients.py. Definitions and sources: method.md, "Estimators".

A new estimator is one module in gradients/ with a class as `gradients.estimator.Rows` describes, and one entry in `ESTIMATORS`
(docs/extending.md). Nothing heavy is imported here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.config import Gradients


Shape = tuple[int, int]
"""(inputs, outputs) of an adapted linear layer."""


@dataclass(frozen=True)
class RowCost:
    """What one row costs beside the forward and backward pass: operations in float64 and bytes moved."""

    double_operations: float = 0.0
    traffic: float = 0.0


@dataclass(frozen=True)
class Estimator:
    """One estimator.

    name, description: as in the configuration. scaled: see the module's text. implementation: `module:class` in gradients/.
    reads: by side, keys below `gradients` that determine its rows. needs: by side, what its rows are made from beside examples and
    checkpoint, as attributes of `Layout`. extra_examples: pool examples that a job for targets runs through first.
    dimension: numbers in a row; cost: of a row. Both are given the `gradients` section, the adapter's rank and its layers' shapes.
    """

    name: str
    description: str
    scaled: bool
    implementation: str
    reads: Mapping[str, tuple[str, ...]]
    dimension: Callable[["Gradients", int, Sequence[Shape]], int]
    cost: Callable[["Gradients", int, Sequence[Shape], str], RowCost]
    needs: Mapping[str, tuple[str, ...]]
    extra_examples: Callable[["Gradients"], int] = lambda gradients: 0

    def load(self) -> Callable[..., Any]:
        """The class that makes its rows."""
        module, name = self.implementation.split(":")
        return getattr(import_module(f"equipoise.gradients.{module}"), name)


COMMON = ("estimator", "precision", "token_budget")
PROJECTED = (*COMMON, "projection")
NOTHING: Mapping[str, tuple[str, ...]] = {"pool": (), "target": ()}
ADAM_TRAFFIC, PLAIN_TRAFFIC = 154, 78  # bytes moved per adapter parameter and row: outer product, Adam's map where there is one, sketch


def parameters(rank: int, layers: Sequence[Shape]) -> int:
    """Numbers p of an adapter."""
    return sum(rank * (inputs + outputs) for inputs, outputs in layers)


def _projected(gradients: "Gradients", rank: int, layers: Sequence[Shape]) -> int:
    projection = gradients.projection
    return parameters(rank, layers) if projection.kind == "identity" else projection.dimension


def _adapter_cost(traffic: Mapping[str, int]) -> Callable[["Gradients", int, Sequence[Shape], str], RowCost]:
    def cost(gradients: "Gradients", rank: int, layers: Sequence[Shape], side: str) -> RowCost:
        numbers, projection = parameters(rank, layers), gradients.projection
        dense = 2.0 * numbers * projection.dimension if projection.kind == "rademacher" else 0.0
        return RowCost(dense, traffic[side] * numbers)

    return cost


def _logra_dimension(gradients: "Gradients", rank: int, layers: Sequence[Shape]) -> int:
    return gradients.logra.rank**2 * len(layers)


def _logra_cost(gradients: "Gradients", rank: int, layers: Sequence[Shape], side: str) -> RowCost:
    """Rows of float64; a target's is multiplied by every layer's inverse Fisher matrix."""
    size = gradients.logra.rank**2
    return RowCost(2.0 * size**2 * len(layers) if side == "target" else 0.0, 8.0 * size * len(layers))


ESTIMATORS: tuple[Estimator, ...] = (
    Estimator(
        name="less",
        description="cosine with Adam's steps",
        scaled=False,
        implementation="adapter_rows:Less",
        reads={"pool": (*PROJECTED, "adam_form"), "target": PROJECTED},
        dimension=_projected,
        cost=_adapter_cost({"pool": ADAM_TRAFFIC, "target": PLAIN_TRAFFIC}),
        needs=NOTHING,
    ),
    Estimator(
        name="tracin",
        description="dot product of gradients",
        scaled=True,
        implementation="adapter_rows:Tracin",
        reads={"pool": PROJECTED, "target": PROJECTED},
        dimension=_projected,
        cost=_adapter_cost({"pool": PLAIN_TRAFFIC, "target": PLAIN_TRAFFIC}),
        needs=NOTHING,
    ),
    Estimator(
        name="logra",
        description="damped Fisher",
        scaled=True,
        implementation="logra:Logra",
        reads={"pool": (*COMMON, "logra.rank"), "target": (*COMMON, "logra")},
        dimension=_logra_dimension,
        cost=_logra_cost,
        needs={"pool": (), "target": ("pool_manifest",)},
        extra_examples=lambda gradients: gradients.logra.fisher_examples,
    ),
)
_BY_NAME = {estimator.name: estimator for estimator in ESTIMATORS}


def estimator(name: str) -> Estimator:
    """The estimator called `name`, one of `ESTIMATORS`."""
    return _BY_NAME[name]
