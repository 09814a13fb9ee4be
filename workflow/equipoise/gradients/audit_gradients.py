"""`equipoise audit_gradients`: stored rows against rows computed one example at a time by plain autograd in fp32."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.errors import UserError
from equipoise.gradients.adam import adam_constants
from equipoise.gradients.adam_moments import load_moments
from equipoise.gradients.projection import build_projector
from equipoise.layout import Layout
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer, resolve_device
from equipoise.modelling.chat import Encoded, pad
from equipoise.store.gradients import VALID, GradientReader, open_rows

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


Recompute = Callable[[Encoded], tuple[np.ndarray, float]]  # an example's row, float64 [k], and its loss


@dataclass(frozen=True)
class Audited:
    """One row: cosine of the stored direction with the recomputed one, and stored over recomputed norm and loss."""

    row: int
    cosine: float
    norm_ratio: float
    loss_ratio: float


def audit(config: Experiment, epoch: int, task: str | None, rows: int, seed: int) -> list[Audited]:
    """Recomputes `rows` valid rows, drawn by seed, of the pool's store (or of a task's) at an epoch, in row order.

    The model is the unmodified PEFT model in fp32, one example at a time; only the Adam map's constants, the projections and, for logra's
    targets, the damped inverse Fisher matrix are shared with the engine. Raises `UserError` for a store without valid rows.
    """
    layout = config.layout
    path, data = (
        (layout.pool_gradients(epoch), layout.pool) if task is None else (layout.target_gradients(epoch, task), layout.target(task))
    )
    reader = open_rows(path)
    drawn = _drawn_rows(reader, rows, seed)
    longest = config.model.max_length if task is None else config.targets.longest(config.model)
    examples = encode_file(data, load_tokenizer(config.model), longest)
    model = load_adapter(load_base(config.model, "fp32", resolve_device(config.model.device)), layout.checkpoint(epoch))
    side = "pool" if task is None else "target"
    recompute = (_base_rows if config.gradients.estimator == "logra" else _adapter_rows)(config, layout, model, side, epoch)
    return [_audited(*recompute(examples[row]), reader, row) for row in drawn]


def _drawn_rows(reader: GradientReader, rows: int, seed: int) -> list[int]:
    valid = np.flatnonzero(reader.read_column("status", 0, reader.rows) == VALID)
    if not len(valid):
        raise UserError(f"{reader.path}: has no valid row to audit")
    return sorted(np.random.Generator(np.random.PCG64(seed)).choice(valid, min(rows, len(valid)), replace=False).tolist())


def _adapter_rows(config: Experiment, layout: Layout, model: "PeftModel", side: str, epoch: int) -> Recompute:
    """Rows of less and tracin: the adapter's gradients, Adam map where the estimator has one, projection."""
    import torch

    shapes = {name: parameter.numel() for name, parameter in lora_parameters(model).items()}
    projector = build_projector(config.gradients.projection, shapes, config.seed)
    adam = {}
    if side == "pool" and config.gradients.estimator == "less":
        adam = adam_constants(load_moments(layout.checkpoint(epoch), model), config.gradients.adam_form, model.device)

    def recompute(example: Encoded) -> tuple[np.ndarray, float]:
        gradients, loss = autograd_gradients(model, example, lora_parameters(model))
        total = torch.zeros(1, projector.dimension, dtype=torch.float64, device=model.device)
        for name, gradient in gradients.items():
            projector.add(total, name, gradient.reshape(1, -1), adam.get(name))
        return projector.finish(total.cpu().numpy())[0], loss

    return recompute


def _base_rows(config: Experiment, layout: Layout, model: "PeftModel", side: str, epoch: int) -> Recompute:
    """Rows of logra: P G Q^T of every layer's whole weight gradient G; a target's times the damped inverse Fisher matrix."""
    from equipoise.gradients.engine import Engine
    from equipoise.gradients.logra import LograRows, damped_inverse, fisher_sample, projection_matrix

    options, engine = config.gradients.logra, Engine(model)
    layers = sorted(engine.capture.layers, key=lambda layer: layer.name)
    inverse = None
    if side == "target":
        rows = LograRows(layers, options.rank, config.seed)
        inverse = damped_inverse(engine, rows, fisher_sample(config, layout.pool), config.gradients.token_budget, options.damping)
    weights = {layer.name: layer.weight for layer in layers}

    def recompute(example: Encoded) -> tuple[np.ndarray, float]:
        gradients, loss = autograd_gradients(model, example, weights)
        parts = []
        for at, (name, gradient) in enumerate(gradients.items()):
            whole = gradient.double().cpu().numpy()
            left, right = (
                projection_matrix(config.seed, name, which, options.rank, width)
                for which, width in zip(("output", "input"), whole.shape, strict=True)
            )
            part = (left @ whole @ right.T).flatten()
            parts.append(part if inverse is None else part @ inverse[at])
        return np.concatenate(parts), loss

    return recompute


def _audited(expected: np.ndarray, loss: float, reader: GradientReader, row: int) -> Audited:
    stored = reader.read(row, row + 1)
    direction = stored.directions[0].astype(np.float64)
    norm = np.linalg.norm(expected)
    cosine = float(expected @ direction / (norm * np.linalg.norm(direction)))
    return Audited(row, cosine, float(stored.norm[0] / norm), float(stored.loss[0] / loss))


def autograd_gradients(
    model: "PeftModel", example: Encoded, parameters: "dict[str, torch.Tensor]"
) -> tuple[dict[str, "torch.Tensor"], float]:
    """Gradients of one example's mean completion loss for named parameters, and that loss, by torch's autograd through PEFT's layers."""
    import torch

    for parameter in parameters.values():
        parameter.requires_grad_(True)
    batch = {name: tensor.to(model.device) for name, tensor in pad([example], 0).items()}
    loss = model(**batch).loss
    found = torch.autograd.grad(loss, list(parameters.values()))
    return dict(zip(parameters, found, strict=True)), float(loss.detach())
