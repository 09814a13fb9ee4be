"""The estimators of influence behind one interface: each says how a store's rows are made, and the matrix follows one rule.

The matrix is A = sum_e w_e <target row, pool row> over the stores' rows: of unit rows (`scaled` false) or with their norms multiplied
back in (`scaled` true); see `store.gradients`.

* less: pool rows are Adam's steps, target rows plain gradients of the adapter; cosine (method: gradients; arXiv 2402.04333).
* tracin: plain gradients of the adapter on both sides; dot product (arXiv 2002.08484).
* logra: low-rank two-sided projections of the adapted layers' base weights; target rows carry the damped inverse Fisher matrix;
  dot product (arXiv 2405.13954).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment
from equipoise.data.encoding import examples_digest
from equipoise.gradients.adam import adam_constants
from equipoise.gradients.adam_moments import load_moments, moments_identity
from equipoise.gradients.logra import LograRows, damped_inverse, fisher_sample
from equipoise.gradients.projection import build_projector
from equipoise.gradients.rows import LoraRows, RowMaker
from equipoise.layout import Layout
from equipoise.modelling.chat import Encoded

if TYPE_CHECKING:
    from equipoise.gradients.engine import Engine


@dataclass(frozen=True)
class Estimator:
    """`identity(side, folder)`: what of a row it determines, for the fingerprint; `maker(engine, side, folder)`: makes the rows.

    `side` is pool or target, `folder` the epoch checkpoint whose adapter the engine's model carries.
    """

    name: str
    scaled: bool
    identity: Callable[[str, str], dict[str, Any]]
    maker: Callable[["Engine", str, str], RowMaker]


def build_estimator(config: Experiment, layout: Layout) -> Estimator:
    """The estimator that `gradients.estimator` names."""
    return {"less": _less, "tracin": _tracin, "logra": _logra}[config.gradients.estimator](config, layout)


def _lora_rows(config: Experiment, engine: "Engine", adam: dict | None = None) -> LoraRows:
    shapes = {name: rows * columns for name, (rows, columns) in engine.capture.shapes.items()}
    return LoraRows(build_projector(config.gradients.projection, shapes, config.seed), adam)


def _less(config: Experiment, layout: Layout) -> Estimator:
    gradients = config.gradients

    def identity(side: str, folder: str) -> dict[str, Any]:
        projection = gradients.projection.model_dump()
        if side == "target":
            return {"projection": projection}
        return {"projection": projection, "adam_form": gradients.adam_form, "moments": moments_identity(folder)}

    def maker(engine: "Engine", side: str, folder: str) -> RowMaker:
        if side == "target":
            return _lora_rows(config, engine)
        moments = load_moments(folder, engine.model)
        return _lora_rows(config, engine, adam_constants(moments, gradients.adam_form, engine.device))

    return Estimator("less", False, identity, maker)


def _tracin(config: Experiment, layout: Layout) -> Estimator:
    def identity(side: str, folder: str) -> dict[str, Any]:
        return {"projection": config.gradients.projection.model_dump()}

    return Estimator("tracin", True, identity, lambda engine, side, folder: _lora_rows(config, engine))


def _logra(config: Experiment, layout: Layout) -> Estimator:
    options = config.gradients.logra

    @cache
    def sample() -> list[Encoded]:
        return fisher_sample(config, layout.pool)

    def identity(side: str, folder: str) -> dict[str, Any]:
        if side == "pool":
            return {"rank": options.rank}
        return {"rank": options.rank, "damping": options.damping, "fisher": examples_digest(sample())}

    def maker(engine: "Engine", side: str, folder: str) -> RowMaker:
        rows = LograRows(engine.capture.layers, options.rank, config.seed)
        if side == "pool":
            return rows
        return LograRows(
            engine.capture.layers,
            options.rank,
            config.seed,
            damped_inverse(engine, rows, sample(), config.gradients.token_budget, options.damping),
        )

    return Estimator("logra", True, identity, maker)
