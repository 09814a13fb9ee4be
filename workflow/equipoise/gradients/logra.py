"""LoGra: per-example gradients of base weights through low-rank two-sided projections (arXiv 2405.13954, section 3).

The gradient of a linear layer's weight is sum_t g_t x_t^T. Projected from both sides it is sum_t (P g_t)(Q x_t)^T, rank^2 numbers, and
is never formed in full. P [rank, out] and Q [rank, in] have entries +-1/sqrt(rank) from a hash of (seed, layer name, coordinate).

Influence of pool example i on target example j: sum over layers of u_j^T (F + lambda I)^-1 u_i, u the projected gradients, F the mean of
u u^T over a sample of the pool (the empirical Fisher matrix of the layer), lambda = damping times F's mean eigenvalue.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipoise.config import Experiment
from equipoise.data.encoding import examples_digest
from equipoise.data.shards import plan_batches
from equipoise.errors import UserError
from equipoise.gradients.capture import Factors, Layer
from equipoise.gradients.estimator import Recompute, autograd_gradients
from equipoise.gradients.hashing import signs, stream_key
from equipoise.gradients.rows import outer_products
from equipoise.gradients.sample import pool_sample
from equipoise.layout import Epoch
from equipoise.modelling.chat import Encoded

if TYPE_CHECKING:
    from peft import PeftModel

    from equipoise.gradients.engine import Engine


def projection_matrix(seed: int, layer: str, side: str, rank: int, width: int) -> np.ndarray:
    """P (side `output`) or Q (side `input`) of a layer, float32 [rank, width]."""
    padded = -(-width // 64) * 64
    entries = signs(stream_key(seed, f"logra {side}", layer), 0, rank * padded).reshape(rank, padded)[:, :width]
    return entries.astype(np.float32) / np.float32(np.sqrt(rank))


class LograRows:
    """Rows of rank^2 numbers per layer, sorted by name; each multiplied by its matrix of `inverse` ([layers, rank^2, rank^2]) if any."""

    def __init__(self, layers: Sequence[Layer], rank: int, seed: int, inverse: np.ndarray | None = None):
        self._size, self._inverse = rank * rank, inverse
        self._starts = {layer: place * self._size for place, layer in enumerate(sorted(layer.name for layer in layers))}
        self.dimension = len(self._starts) * self._size
        self._matrices = {}
        for layer in layers:
            for side, width in (("output", layer.b.shape[0]), ("input", layer.a.shape[1])):
                matrix = torch.from_numpy(projection_matrix(seed, layer.name, side, rank, width))
                self._matrices[layer.name, side] = matrix.to(layer.a.dtype)
        self._rows = torch.zeros(0, 0)

    def start(self, count: int, device: torch.device) -> None:
        self._rows = torch.zeros(count, self.dimension, dtype=torch.float64, device=device)
        self._matrices = {key: matrix.to(device) for key, matrix in self._matrices.items()}

    def take(self, layer: Layer, factors: Factors) -> None:
        left = factors.g @ self._matrices[layer.name, "output"].T
        right = factors.x @ self._matrices[layer.name, "input"].T
        start = self._starts[layer.name]
        self._rows[:, start : start + self._size] = outer_products(left, right).flatten(1)

    def finish(self, loss: np.ndarray) -> np.ndarray:
        rows = self._rows.cpu().numpy()
        if self._inverse is None:
            return rows
        blocks = rows.reshape(len(rows), len(self._starts), self._size)
        return np.einsum("nla,lab->nlb", blocks, self._inverse).reshape(rows.shape)


def damped_inverse(engine: "Engine", rows: LograRows, sample: Sequence[Encoded], token_budget: int, damping: float) -> np.ndarray:
    """(F + lambda I)^-1 of every layer, float64 [layers, rank^2, rank^2], layers sorted by name.

    Raises `UserError` when fewer than two examples of the sample have a finite gradient, or a layer has only zeros.
    """
    size = rows.dimension // len(engine.capture.layers)
    total, count = np.zeros((len(engine.capture.layers), size, size)), 0
    for batch in plan_batches([len(example.input_ids) for example in sample], token_budget):
        gradients = engine.run([sample[i] for i in batch], rows).gradients
        gradients = gradients[np.isfinite(gradients).all(axis=1)].reshape(-1, len(total), size)
        total += np.einsum("nla,nlb->lab", gradients, gradients)
        count += len(gradients)
    if count < 2:
        raise UserError(f"gradients.logra: {count} pool examples with a finite gradient; the Fisher matrix needs at least 2")
    return invert_damped(total / count, damping)


def invert_damped(fisher: np.ndarray, damping: float) -> np.ndarray:
    """(F + damping * mean eigenvalue * I)^-1 of matrices F, float64 [layers, n, n]."""
    mean = np.trace(fisher, axis1=1, axis2=2) / fisher.shape[1]
    if not (mean > 0).all():
        raise UserError("gradients.logra: a layer's gradients are all zero; leave it out of lora.target_modules")
    return np.linalg.inv(fisher + (damping * mean)[:, None, None] * np.eye(fisher.shape[1]))


class Logra:
    """Low-rank projections of the base's gradients; a target's times the damped inverse Fisher matrix (see the module's text)."""

    def __init__(self, config: Experiment):
        self._config, self._options = config, config.gradients.logra

    @cached_property
    def _sample(self) -> Sequence[Encoded]:
        return pool_sample(self._config, self._options.fisher_examples)

    def inputs(self, side: str, epoch: Epoch) -> dict[str, Any]:
        """As `estimator.Rows.inputs`: the Fisher matrix's examples for targets."""
        return {"fisher": examples_digest(self._sample)} if side == "target" else {}

    def maker(self, engine: "Engine", side: str, epoch: Epoch) -> LograRows:
        layers = engine.capture.layers
        inverse = self._inverse(engine) if side == "target" else None
        return LograRows(layers, self._options.rank, self._config.seed, inverse)

    def _inverse(self, engine: "Engine") -> np.ndarray:
        rows = LograRows(engine.capture.layers, self._options.rank, self._config.seed)
        return damped_inverse(engine, rows, self._sample, self._config.gradients.token_budget, self._options.damping)

    def recompute(self, model: "PeftModel", side: str, epoch: Epoch) -> Recompute:
        """As `estimator.Rows.recompute`: P G Q^T of every layer's whole weight gradient G; the inverse Fisher matrix is the engine's."""
        from equipoise.gradients.engine import Engine

        engine, options = Engine(model), self._options
        layers = {layer.name: layer for layer in sorted(engine.capture.layers, key=lambda layer: layer.name)}
        weights = {name: layer.module.get_base_layer().weight for name, layer in layers.items()}
        inverse = self._inverse(engine) if side == "target" else None

        def row(example: Encoded) -> tuple[np.ndarray, float]:
            gradients, loss = autograd_gradients(model, example, weights)
            parts = []
            for at, (name, gradient) in enumerate(gradients.items()):
                whole = (gradient.T if layers[name].transposed else gradient).double().cpu().numpy()
                left, right = (
                    projection_matrix(self._config.seed, name, which, options.rank, width)
                    for which, width in zip(("output", "input"), whole.shape, strict=True)
                )
                part = (left @ whole @ right.T).flatten()
                parts.append(part if inverse is None else part @ inverse[at])
            return np.concatenate(parts), loss

        return row
