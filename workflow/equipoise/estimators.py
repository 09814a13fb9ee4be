"""The estimators of influence: every fact of each, once. Configuration, workflow, planning, collection and audit ask here.

The matrix is A = sum_e w_e <target row, pool row> over the stores' rows: of unit rows (`scaled` false: cosines) or with their norms
multiplied back in (`scaled` true: dot products); see store/gradients.py. Definitions and sources: method.md, "Estimators".

A new estimator is one module in gradients/ with a class as `gradients.estimator.Rows` describes, and one entry in `ESTIMATORS`
(docs/extending.md). Two names stand for matrices that are not made from stored rows of the whole pool: `OTHERS`. Nothing heavy is imported
here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.config_gradients import Gradients


Shape = tuple[int, int]
"""(inputs, outputs) of an adapted linear layer."""


@dataclass(frozen=True)
class RowCost:
    """What one row costs beside the forward and backward pass: operations in float64 and in float32, bytes moved."""

    double_operations: float = 0.0
    traffic: float = 0.0
    operations: float = 0.0


@dataclass(frozen=True)
class FitCost:
    """What fitting costs at one epoch.

    passes over so many pool examples' gradients; token_operations, example_operations: further ones for each of their tokens and for each
    of them, over all passes, in float32. row_operations: in float64, for each row of the pool's stores; once: further ones in float64.
    disk: bytes left. memory: of a GPU while fitting, held: while rows are made with it, both in bytes.
    """

    passes: int = 0
    examples: int = 0
    token_operations: float = 0.0
    example_operations: float = 0.0
    row_operations: float = 0.0
    once: float = 0.0
    disk: float = 0.0
    memory: float = 0.0
    held: float = 0.0


@dataclass(frozen=True)
class Fitted:
    """What an estimator fits at every epoch before some of its rows can be made, by the rule `fit_curvature`.

    implementation: `module:class` in curvature/, as curvature/fit.py describes (`Fit`). sides: what is made with it, of pool, target (their
    rows) and matrix.
    from_rows: it is made from the rows in the pool's store at the epoch; otherwise from examples of the pool and the checkpoint.
    reads: keys below `gradients` that determine it. cost: given what `Estimator.cost` is, but rows of the pool instead of the side.
    """

    implementation: str
    sides: tuple[str, ...]
    from_rows: bool
    reads: tuple[str, ...]
    cost: Callable[["Gradients", int, Sequence[Shape], int], FitCost]

    def load(self) -> Callable[..., Any]:
        """The class that fits it."""
        module, name = self.implementation.split(":")
        return getattr(import_module(f"equipoise.curvature.{module}"), name)


@dataclass(frozen=True)
class Estimator:
    """One estimator.

    name, description: as in the configuration. scaled: see the module's text. implementation: `module:class` in gradients/.
    reads: by side, keys below `gradients` that determine its rows. needs: by side, what its rows are made from in addition to examples and
    checkpoint, as attributes of `Layout`. extra_examples: pool examples that a job for targets runs through first.
    dimension: numbers in a row; cost: of a row. Both are given the `gradients` section, the adapter's rank and its layers' shapes.
    fitted: what it fits at every epoch first. residual: the matrix is the plain mean over epochs, times the mean over epochs of 1 - p of
    the pool row, p = exp(-loss); otherwise epochs are weighted by their learning rates. halves: each half of a projected row's coordinates
    gives the same matrix but for noise, so that its reliability can be told.
    """

    name: str
    description: str
    scaled: bool
    implementation: str
    reads: Mapping[str, tuple[str, ...]]
    dimension: Callable[["Gradients", int, Sequence[Shape]], int]
    cost: Callable[["Gradients", int, Sequence[Shape], str], RowCost]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"pool": (), "target": ()})
    extra_examples: Callable[["Gradients"], int] = lambda gradients: 0
    fitted: Fitted | None = None
    residual: bool = False
    halves: bool = False

    def load(self) -> Callable[..., Any]:
        """The class that makes its rows."""
        module, name = self.implementation.split(":")
        return getattr(import_module(f"equipoise.gradients.{module}"), name)


COMMON = ("estimator", "precision", "token_budget")
PROJECTED = (*COMMON, "projection")
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


def _logra_cost(gradients: "Gradients", rank: int, layers: Sequence[Shape], side: str) -> RowCost:
    """Rows of float64; a target's is multiplied by every layer's inverse Fisher matrix."""
    size = gradients.logra.rank**2
    return RowCost(2.0 * size**2 * len(layers) if side == "target" else 0.0, 8.0 * size * len(layers))


def linears(rank: int, layers: Sequence[Shape]) -> list[Shape]:
    """(inputs, outputs) of the two linear maps of every pair: into the rank and out of it."""
    return [shape for inputs, outputs in layers for shape in ((inputs, rank), (rank, outputs))]


def _ekfac_cost(sides: tuple[str, ...]) -> Callable[["Gradients", int, Sequence[Shape], str], RowCost]:
    """A row of these sides is turned into the eigenvectors' coordinates, a target's also back."""

    def cost(gradients: "Gradients", rank: int, layers: Sequence[Shape], side: str) -> RowCost:
        plain = _adapter_cost({"pool": PLAIN_TRAFFIC, "target": PLAIN_TRAFFIC})(gradients, rank, layers, side)
        turns = (2 if side == "target" else 1) if side in sides else 0
        return replace(plain, operations=turns * sum(2.0 * i * o * (i + o) for i, o in linears(rank, layers)))

    return cost


def _ekfac_fit_cost(gradients: "Gradients", rank: int, layers: Sequence[Shape], rows: int) -> FitCost:
    """Covariances of inputs and output gradients in float64, their eigenvectors and the eigenvalues in float32; two passes."""
    maps = linears(rank, layers)
    squares, numbers = sum(i**2 + o**2 for i, o in maps), sum(i * o for i, o in maps)
    return FitCost(
        passes=2,
        examples=gradients.ekfac.fisher_examples,
        token_operations=2.0 * squares,
        example_operations=sum(2.0 * i * o * (i + o) for i, o in maps),
        once=9.0 * sum(i**3 + o**3 for i, o in maps),  # of a symmetric matrix's eigenvectors (Golub and Van Loan, 8.3)
        disk=4.0 * (squares + numbers),
        memory=8.0 * squares + 4.0 * max(i**2 + o**2 for i, o in maps),
        held=4.0 * (squares + 2 * numbers),
    )


def _kernel_cost(gradients: "Gradients", rank: int, layers: Sequence[Shape], rows: int) -> FitCost:
    """The kernel, or the smaller one of the rows, and its Cholesky factor, float64 on the host."""
    numbers = _projected(gradients, rank, layers)
    size = min(numbers, rows)
    return FitCost(row_operations=float(numbers) * size, once=size**3 / 3, disk=8.0 * size**2)


CURVATURE_KEYS = ("precision", "token_budget", "ekfac.labels", "ekfac.fisher_examples")
ESTIMATORS: tuple[Estimator, ...] = (
    Estimator(
        name="less",
        description="cosine with Adam's steps",
        scaled=False,
        implementation="adapter_rows:Less",
        reads={"pool": (*PROJECTED, "adam_form"), "target": PROJECTED},
        dimension=_projected,
        cost=_adapter_cost({"pool": ADAM_TRAFFIC, "target": PLAIN_TRAFFIC}),
        halves=True,
    ),
    Estimator(
        name="tracin",
        description="dot product of gradients",
        scaled=True,
        implementation="adapter_rows:Tracin",
        reads={"pool": PROJECTED, "target": PROJECTED},
        dimension=_projected,
        cost=_adapter_cost({"pool": PLAIN_TRAFFIC, "target": PLAIN_TRAFFIC}),
        halves=True,
    ),
    Estimator(
        name="logra",
        description="damped Fisher",
        scaled=True,
        implementation="logra:Logra",
        reads={"pool": (*COMMON, "logra.rank"), "target": (*COMMON, "logra")},
        dimension=lambda gradients, rank, layers: gradients.logra.rank**2 * len(layers),
        cost=_logra_cost,
        needs={"pool": (), "target": ("pool_manifest",)},
        extra_examples=lambda gradients: gradients.logra.fisher_examples,
    ),
    Estimator(
        name="ekfac",
        description="inverse EK-FAC curvature",
        scaled=True,
        implementation="ekfac:Ekfac",
        reads={"pool": PROJECTED, "target": (*PROJECTED, "ekfac.damping")},
        dimension=_projected,
        cost=_ekfac_cost(("target",)),
        fitted=Fitted("ekfac:EkfacFit", ("target",), False, CURVATURE_KEYS, _ekfac_fit_cost),
        halves=True,
    ),
    Estimator(
        name="ekfac_unit",
        description="the same with pool rows of unit length in its metric",
        scaled=True,
        implementation="ekfac:EkfacUnit",
        reads={"pool": (*PROJECTED, "ekfac.damping"), "target": (*PROJECTED, "ekfac.damping")},
        dimension=_projected,
        cost=_ekfac_cost(("pool", "target")),
        fitted=Fitted("ekfac:EkfacFit", ("pool", "target"), False, CURVATURE_KEYS, _ekfac_fit_cost),
        halves=True,
    ),
    Estimator(
        name="trak",
        description="inverse kernel of log-odds gradients",
        scaled=True,
        implementation="trak:Trak",
        reads={"pool": PROJECTED, "target": PROJECTED},
        dimension=_projected,
        cost=_adapter_cost({"pool": PLAIN_TRAFFIC, "target": PLAIN_TRAFFIC}),
        fitted=Fitted("kernel:KernelFit", ("matrix",), True, ("trak.damping",), _kernel_cost),
        residual=True,
    ),
)
_BY_NAME = {estimator.name: estimator for estimator in ESTIMATORS}
MATRIX, MATES = "matrix", "mates"
OTHERS = {
    MATRIX: "your own scores (matrix.file), no gradients",
    MATES: "predicted from states by a model of another estimator's influence on a sampled share (mates.share)",
}
"""Names of `gradients.estimator` that make no rows of their own, with their descriptions."""


def estimator(name: str) -> Estimator:
    """The estimator called `name`, one of `ESTIMATORS`."""
    return _BY_NAME[name]


def row_estimator(gradients: "Gradients") -> Estimator | None:
    """The estimator whose rows are collected; None where none are (`matrix`)."""
    if gradients.estimator == MATRIX:
        return None
    return estimator(gradients.mates.estimator if gradients.estimator == MATES else gradients.estimator)
