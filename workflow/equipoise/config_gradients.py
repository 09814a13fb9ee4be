"""The section `gradients` of the configuration: how influence is estimated, with the settings of every estimator."""

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from equipoise.config_keys import JOBS, NO_EFFECT, AnySource, EstimatorName, Section
from equipoise.estimators import ESTIMATORS, OTHERS

COMPARED = "estimators"
"""The folder, below the model's, of all that is made with estimators besides the experiment's own one."""
NAMES = {each.name: each.description for each in ESTIMATORS} | OTHERS


class Projection(Section):
    """The random map of gradients to `dimension` numbers."""

    kind: Literal["sketch", "rademacher", "identity"] = Field("sketch", description="sketch (CountSketch), rademacher (dense) or identity.")
    dimension: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        8192, description="Numbers kept of a gradient, ignored by identity; auto: as many as give a reliability of 0.95 on 500 pool rows."
    )
    repeats: int = Field(1, ge=1, description="Independent sketches averaged, for heavy-tailed gradients.")


class Logra(Section):
    """The `logra` estimator: low-rank projections of the base weights' gradients, preconditioned by a damped Fisher matrix."""

    rank: int = Field(8, ge=1, description="Numbers kept of a layer's input and of its output; rank^2 per layer in the store.")
    damping: float = Field(0.1, gt=0, description="Damping of a layer's Fisher matrix, relative to its mean eigenvalue.")
    fisher_examples: int = Field(1024, ge=2, description="Pool examples, drawn by seed, that estimate the Fisher matrix.")


class Ekfac(Section):
    """The estimators `ekfac` and `ekfac_unit`: gradients in the inverse of the EK-FAC matrix of every linear map of the adapter."""

    labels: Literal["sampled", "empirical"] = Field(
        "sampled",
        description="sampled: labels drawn from the model, so Gauss-Newton; empirical: the examples' own gradients.",
    )
    damping: float = Field(0.1, gt=0, description="Damping of a linear map's curvature, relative to its mean eigenvalue.")
    fisher_examples: int = Field(4096, ge=2, description="Pool examples, drawn by seed, that the curvature is estimated from.")


class Trak(Section):
    """The `trak` estimator: projected gradients of the log-odds in the inverse of their own kernel."""

    damping: float = Field(0.1, gt=0, description="Damping of the kernel, relative to its mean eigenvalue.")


class OwnMatrix(Section):
    """The estimator `matrix`: scores that you computed, one row per pool row and one column per validation example; larger is better."""

    file: AnySource = Field(None, description="Your scores: .npy, .zarr, .parquet, .safetensors, or a folder of bergson's scores.")


class Mates(Section):
    """The estimator `mates`: an influence model on last-layer states, fitted on a sampled share of the pool."""

    estimator: Literal[*(each.name for each in ESTIMATORS)] = Field("less", description="Estimator that the sampled rows' influence is of.")
    share: float = Field(0.1, gt=0, le=1, description="Share of the pool whose gradients are collected; 1.0 predicts nothing.")
    penalty: float = Field(0.1, gt=0, description="Ridge penalty, relative to the mean variance of the standardised features.")


class Gradients(Section):
    """How influence gradients are computed."""

    estimator: EstimatorName = Field("less", description="; ".join(f"{name}: {told}" for name, told in NAMES.items()) + ".")
    epochs: Annotated[Literal["all", "last"], JOBS] = Field(
        "all", description="Epochs whose gradients make the influence matrix: all of a warm-up's, or its last one alone."
    )
    adam_form: Literal["less", "torch"] = Field(
        "less", description="less: m'/sqrt(v'+eps), uncorrected; torch: m'/(sqrt(v')+eps), corrected."
    )
    precision: Literal["fp32", "bf16"] = Field("bf16", description="Number format of the forward and backward pass.")
    token_budget: int = Field(16384, ge=1, description="Padded tokens in one batch; bounds memory. Part of the fingerprint.")
    activation_checkpointing: Annotated[bool, NO_EFFECT] = Field(
        False, description="Recompute activations to save memory; changes no result."
    )
    projection: Projection = Field(default_factory=Projection, description="The random projection.")
    logra: Logra = Field(default_factory=Logra, description="Settings of the estimator logra.")
    ekfac: Ekfac = Field(default_factory=Ekfac, description="Settings of the estimators ekfac and ekfac_unit.")
    trak: Trak = Field(default_factory=Trak, description="Settings of the estimator trak.")
    mates: Mates = Field(default_factory=Mates, description="Settings of the estimator mates.")
    matrix: OwnMatrix = Field(default_factory=OwnMatrix, description="Settings of the estimator matrix.")
    _place: str = PrivateAttr("")

    @property
    def place(self) -> str:
        """Where stores and matrix of the estimator lie below the model's folder: right there for the experiment's own one."""
        return self._place

    def of(self, estimator: str) -> "Gradients":
        """The same settings for another estimator, in a folder of its own."""
        other = self.model_copy(update={"estimator": estimator})
        other._place = f"{COMPARED}/{estimator}/"
        return other
