"""Each estimator's matrix, from its stores by the one rule, against a direct small-scale computation.

A new estimator has its plain form in `PLAIN` (docs/extending.md).
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, get_args

import numpy as np
import pytest
import torch

from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.determinants import leaves
from equipoise.estimators import ESTIMATORS, estimator
from equipoise.gradients.adam import load_moments
from equipoise.gradients.audit_gradients import audit
from equipoise.gradients.collect import collect_pool_gradients, collect_target_gradients
from equipoise.gradients.estimator import autograd_gradients
from equipoise.gradients.logra import projection_matrix
from equipoise.gradients.projection import build_projector
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import Encoded, pad
from equipoise.store.gradients import GradientReader
from equipoise.store.manifest import read_manifest
from helpers.gradient_experiment import make_experiment

POOL_ROWS = 12
VALID = [i for i in range(POOL_ROWS) if i != 4]
WEIGHTS = {1: 0.75, 2: 0.25}


def matrix_of_stores(layout):
    """A = sum_e w_e <target row, pool row>, norms multiplied back in where the stores say so; float64 [valid rows, targets]."""
    total = 0
    for epoch, weight in WEIGHTS.items():
        sides = []
        for path, rows in ((layout.pool_gradients(epoch), VALID), (layout.target_gradients(epoch, "alpha"), range(3))):
            reader = GradientReader(path)
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


@dataclass(frozen=True)
class Checkpoint:
    """What a plain form is given: the epoch's model and checkpoint folder, the valid pool examples, the targets."""

    config: Experiment
    model: Any
    folder: str
    pool: list[Encoded]
    targets: list[Encoded]


def adapter_rows(model, examples):
    rows = [
        torch.cat([gradient.flatten() for gradient in autograd_gradients(model, example, lora_parameters(model))[0].values()])
        for example in examples
    ]
    return torch.stack(rows).double().numpy()


def sketched(shapes, rows, seed, settings):
    projector = build_projector(settings, shapes, seed)
    total, start = torch.zeros(len(rows), projector.dimension, dtype=torch.float64), 0
    for name, numel in shapes.items():
        projector.add_portable(total, name, torch.from_numpy(rows[:, start : start + numel]).float())
        start += numel
    return projector.finish(total.numpy())


def cosines(rows, others):
    rows, others = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (rows, others))
    return rows @ others.T


def tracin(at: Checkpoint):
    """Dot products of plain gradients."""
    return adapter_rows(at.model, at.pool) @ adapter_rows(at.model, at.targets).T


def less(at: Checkpoint):
    """Cosines of projected Adam steps and gradients."""
    moments, settings = load_moments(at.folder, at.model), at.config.gradients
    first, second = (np.concatenate([t.double().numpy().ravel() for t in side.values()]) for side in (moments.first, moments.second))
    gradients = adapter_rows(at.model, at.pool)
    m, v = 0.9 * first + 0.1 * gradients, 0.999 * second + 0.001 * gradients**2
    steps = m / np.sqrt(v + 1e-8)
    if settings.adam_form == "torch":
        steps = (m / (1 - 0.9 ** (moments.step + 1))) / (np.sqrt(v / (1 - 0.999 ** (moments.step + 1))) + 1e-8)
    shapes = {name: tensor.numel() for name, tensor in moments.first.items()}
    return cosines(*(sketched(shapes, rows, at.config.seed, settings.projection) for rows in (steps, adapter_rows(at.model, at.targets))))


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


def logra(at: Checkpoint):
    """Products of projected base gradients in the inverse of the damped Fisher matrix, by layer."""
    rank, damping = at.config.gradients.logra.rank, at.config.gradients.logra.damping
    layers = sorted((name, module) for name, module in at.model.named_modules() if hasattr(module, "lora_A"))
    of_pool, of_targets = (base_rows(at.model, side, layers, at.config.seed, rank) for side in (at.pool, at.targets))
    total = 0
    for layer in range(len(layers)):
        fisher = of_pool[:, layer].T @ of_pool[:, layer] / len(at.pool)
        damped = fisher + damping * np.trace(fisher) / rank**2 * np.eye(rank**2)
        total = total + of_pool[:, layer] @ np.linalg.inv(damped) @ of_targets[:, layer].T
    return total


SKETCH = {"dimension": 48, "repeats": 2}
PLAIN = {
    "less": (less, {"adam_form": "less", "projection": SKETCH}, {"adam_form": "torch", "projection": SKETCH}),
    "tracin": (tracin, {"projection": {"kind": "identity"}}),
    "logra": (logra, {"logra": {"rank": 3, "damping": 0.2, "fisher_examples": 50}}),
}
"""By estimator: the matrix at one checkpoint in plain torch and numpy, float64 [pool, targets], and settings to compare it under."""
CASES = [(name, settings) for name, (_, *several) in PLAIN.items() for settings in several]


def test_every_estimator_has_a_plain_form():
    assert {entry.name for entry in ESTIMATORS} == set(PLAIN), "write its matrix into PLAIN"


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{name}-{place}" for place, (name, _) in enumerate(CASES)])
def test_an_estimators_matrix_is_that_of_its_plain_form_and_its_rows_pass_the_audit(tmp_path, name, settings):
    config = make_experiment(tmp_path, rows=POOL_ROWS, gradients={"estimator": name, **settings})
    collect_pool_gradients(config, [1, 2], 0)
    collect_target_gradients(config, [1, 2], ["alpha"])
    layout = config.layout
    assert read_manifest(layout.pool_gradients_manifest(1, "00000"), "pool_gradients")["estimator"] == name
    pool, targets = examples_of(config, layout)
    expected = 0
    for epoch, weight in WEIGHTS.items():
        at = Checkpoint(config, model_at(config, layout, epoch), layout.checkpoint(epoch), pool, targets)
        expected = expected + weight * PLAIN[name][0](at)
    found = matrix_of_stores(layout)
    if estimator(name).scaled:
        assert np.abs(found - expected).max() <= 5e-4 * np.abs(expected).max(), "fp16 rows carry 2e-4 of a product of lengths"
    else:
        assert np.abs(found - expected).max() < 1e-3
    audited = audit(config, 1, None, 4, 0) + audit(config, 2, "alpha", 2, 0)
    assert min(one.cosine for one in audited) > 0.9999999
    assert all(abs(one.norm_ratio - 1) < 1e-5 for one in audited)


@pytest.mark.parametrize("side", ["pool", "target"])
@pytest.mark.parametrize("name", [entry.name for entry in ESTIMATORS])
def test_a_key_that_an_estimator_does_not_name_changes_no_row_of_it(tmp_path, name, side):
    config = make_experiment(tmp_path, rows=POOL_ROWS, epochs=1, gradients={"estimator": name, "projection": SKETCH})
    example, model = examples_of(config, config.layout)[side == "target"][0], model_at(config, config.layout, 1)

    def row(settings):
        return estimator(settings.gradients.estimator).load()(settings).recompute(model, side, config.layout.checkpoint(1))(example)[0]

    expected = row(config)
    for path, _, _ in leaves(config, ["gradients"], {}):
        _, *keys = path.split(".")
        if not {".".join(keys[:depth]) for depth in range(1, len(keys) + 1)} & set(estimator(name).reads[side]):
            assert np.array_equal(row(with_another_value(config, keys)), expected), f"{name}: name {path} among what the {side}'s rows read"


def with_another_value(config, keys):
    """The experiment with another value that is allowed under a key of `gradients`."""
    changed = config.model_copy(deep=True)
    *sections, last = keys
    section = reduce(getattr, sections, changed.gradients)
    value, choices = getattr(section, last), get_args(type(section).model_fields[last].annotation)
    setattr(section, last, not value if isinstance(value, bool) else 2 * value if not choices else next(c for c in choices if c != value))
    return changed
