"""Each estimator's matrix, from its stores by the one rule, against a direct small-scale computation."""

import numpy as np
import pytest
import torch

from equipoise.config import Projection
from equipoise.data.encoding import encode_file
from equipoise.gradients.adam_moments import load_moments
from equipoise.gradients.audit_gradients import audit
from equipoise.gradients.autograd import autograd_gradients
from equipoise.gradients.collect import collect_pool_gradients, collect_target_gradients
from equipoise.gradients.logra import projection_matrix
from equipoise.gradients.projection import build_projector
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import pad
from equipoise.store.gradients import open_rows
from equipoise.store.manifest import read_manifest
from helpers.gradient_experiment import make_experiment

POOL_ROWS = 12
VALID = [i for i in range(POOL_ROWS) if i != 4]
WEIGHTS = {1: 0.75, 2: 0.25}


def collected(tmp_path, **gradients):
    config = make_experiment(tmp_path, rows=POOL_ROWS, gradients=gradients)
    collect_pool_gradients(config, [1, 2], 0)
    collect_target_gradients(config, [1, 2], ["alpha"])
    return config, config.layout


def matrix_of_stores(layout):
    """A = sum_e w_e <target row, pool row>, norms multiplied back in where the stores say so; float64 [valid rows, targets]."""
    total = 0
    for epoch, weight in WEIGHTS.items():
        sides = []
        for path, rows in ((layout.pool_gradients(epoch), VALID), (layout.target_gradients(epoch, "alpha"), range(3))):
            reader = open_rows(path)
            found = reader.read(0, reader.rows)
            unit = found.directions.astype(np.float64)
            sides.append((unit * found.norm[:, None] if reader.scaled else unit)[list(rows)])
        total = total + weight * sides[0] @ sides[1].T
    return total


def examples_of(config, layout):
    tokenizer = load_tokenizer(config.model)
    pool = encode_file(layout.pool, tokenizer, config.model.max_length)
    return [pool[i] for i in VALID], encode_file(layout.target("alpha"), tokenizer, config.model.max_length)


def model_at(config, layout, epoch):
    return load_adapter(load_base(config.model, "fp32", "cpu"), layout.checkpoint(epoch))


def adapter_rows(model, examples):
    rows = [
        torch.cat([gradient.flatten() for gradient in autograd_gradients(model, example, lora_parameters(model))[0].values()])
        for example in examples
    ]
    return torch.stack(rows).double().numpy()


def close(found, expected):
    """fp16 rows carry 2e-4 of a product of lengths."""
    return np.abs(found - expected).max() <= 5e-4 * np.abs(expected).max()


def test_tracin_is_the_weighted_dot_product_of_plain_gradients(tmp_path):
    config, layout = collected(tmp_path, estimator="tracin", projection={"kind": "identity"})
    pool, targets = examples_of(config, layout)
    expected = 0
    for epoch, weight in WEIGHTS.items():
        model = model_at(config, layout, epoch)
        expected = expected + weight * adapter_rows(model, pool) @ adapter_rows(model, targets).T
    assert close(matrix_of_stores(layout), expected)
    assert read_manifest(layout.pool_gradients_manifest(1, "00000"), "pool_gradients")["estimator"] == "tracin"


@pytest.mark.parametrize("form", ["less", "torch"])
def test_less_is_the_weighted_cosine_of_projected_adam_steps_and_gradients(tmp_path, form):
    config, layout = collected(tmp_path, adam_form=form, projection={"dimension": 48, "repeats": 2})
    pool, targets = examples_of(config, layout)
    expected = 0
    for epoch, weight in WEIGHTS.items():
        model = model_at(config, layout, epoch)
        moments = load_moments(layout.checkpoint(epoch), model)
        first, second = (np.concatenate([t.double().numpy().ravel() for t in side.values()]) for side in (moments.first, moments.second))
        gradients = adapter_rows(model, pool)
        m, v = 0.9 * first + 0.1 * gradients, 0.999 * second + 0.001 * gradients**2
        steps = m / np.sqrt(v + 1e-8)
        if form == "torch":
            steps = (m / (1 - 0.9 ** (moments.step + 1))) / (np.sqrt(v / (1 - 0.999 ** (moments.step + 1))) + 1e-8)
        shapes = {name: tensor.numel() for name, tensor in moments.first.items()}
        sides = [sketched(shapes, rows, config.seed) for rows in (steps, adapter_rows(model, targets))]
        sides = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in sides]
        expected = expected + weight * sides[0] @ sides[1].T
    assert np.abs(matrix_of_stores(layout) - expected).max() < 1e-3


def sketched(shapes, rows, seed):
    projector = build_projector(Projection(dimension=48, repeats=2), shapes, seed)
    total, start = torch.zeros(len(rows), 48, dtype=torch.float64), 0
    for name, numel in shapes.items():
        projector.add_portable(total, name, torch.from_numpy(rows[:, start : start + numel]).float())
        start += numel
    return projector.finish(total.numpy())


def base_rows(model, examples, layers, seed, rank):
    """P (dL/dW) Q^T of every adapted layer's base weight, by autograd of the whole weight."""
    weights = [module.base_layer.weight for _, module in layers]
    for weight in weights:
        weight.requires_grad_(True)
    rows = []
    for example in examples:
        found = torch.autograd.grad(model(**pad([example], 0)).loss, weights)
        parts = []
        for (name, _), gradient in zip(layers, found, strict=True):
            left = projection_matrix(seed, name, "output", rank, gradient.shape[0])
            right = projection_matrix(seed, name, "input", rank, gradient.shape[1])
            parts.append((left.astype(np.float64) @ gradient.double().numpy() @ right.T).ravel())
        rows.append(np.stack(parts))
    return np.stack(rows)


def test_logra_is_the_damped_fisher_product_of_projected_base_gradients(tmp_path):
    rank, damping = 3, 0.2
    config, layout = collected(tmp_path, estimator="logra", logra={"rank": rank, "damping": damping, "fisher_examples": 50})
    pool, targets = examples_of(config, layout)
    expected = 0
    for epoch, weight in WEIGHTS.items():
        model = model_at(config, layout, epoch)
        layers = sorted((name, module) for name, module in model.named_modules() if hasattr(module, "lora_A"))
        of_pool, of_targets = (base_rows(model, side, layers, config.seed, rank) for side in (pool, targets))
        for layer in range(len(layers)):
            fisher = of_pool[:, layer].T @ of_pool[:, layer] / len(pool)
            damped = fisher + damping * np.trace(fisher) / rank**2 * np.eye(rank**2)
            expected = expected + weight * of_pool[:, layer] @ np.linalg.inv(damped) @ of_targets[:, layer].T
    assert close(matrix_of_stores(layout), expected)
    assert open_rows(layout.pool_gradients(1)).dimension == 6 * rank**2
    audited = audit(config, 1, None, 4, 0) + audit(config, 2, "alpha", 2, 0)
    assert min(one.cosine for one in audited) > 0.9999999
    assert all(abs(one.norm_ratio - 1) < 1e-5 for one in audited)
