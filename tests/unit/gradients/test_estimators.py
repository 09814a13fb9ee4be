"""Each estimator's matrix, from its stores by the one rule, against a direct small-scale computation.

A new estimator has its plain form in `PLAIN` (docs/extending.md).
"""

from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.matrix_store import open_values
from equipoise.config import Experiment
from equipoise.curvature.ekfac import EkfacFit
from equipoise.data.encoding import encode_file
from equipoise.determinants import leaves
from equipoise.estimators import ESTIMATORS, estimator
from equipoise.experiment import gradient_epochs
from equipoise.gradients.adam import load_moments
from equipoise.gradients.audit_gradients import audit
from equipoise.gradients.estimator import autograd_gradients
from equipoise.gradients.logra import projection_matrix
from equipoise.gradients.projection import build_projector
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import Encoded, pad
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.manifest import read_manifest
from helpers.gradient_experiment import collect_all, make_experiment

POOL_ROWS = 12
VALID = [i for i in range(POOL_ROWS) if i != 4]
WEIGHTS = {1: 0.75, 2: 0.25}
OF_TWO = {1: 0.4, 2: 0.1, "1-seed-7": 0.3, "2-seed-7": 0.2}
"""Shares of the learning rate by checkpoint: of one warm-up, and of two."""


def assembled(config, weights):
    """The influence matrix as the stages make it: its valid rows, the columns of the first task."""
    for epoch, weight in weights.items():
        folder = Path(config.layout.checkpoint(epoch))
        publish(config, "checkpoint", {"epoch": epoch}, sorted(folder.iterdir()), mean_learning_rate=1e-4 * weight, fingerprint="warm-up")
    assemble_attribution(config, "influence", 0)
    return open_values(open_artefact(config, "matrix_shard", matrix="influence", shard="00000"), rows=POOL_ROWS)[:][VALID, :3]


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


@dataclass
class Seen:
    """What a linear map saw of one example: inputs [t, in] and output gradients [t, out], and its weight's gradient [out, in], float64."""

    x: np.ndarray
    g: np.ndarray
    whole: np.ndarray


def maps_of(model, example, loss_of):
    """Every linear map of the adapter by its parameter's saved name, watched through one example alone."""
    parameters, watched, hooks = lora_parameters(model), {}, []
    for parameter in parameters.values():
        parameter.requires_grad_(True)
        parameter.grad = None
    for name, module in model.named_modules():
        if name.endswith((".lora_A.default", ".lora_B.default")):
            key = f"{name.removesuffix('.default')}.weight"

            def watch(module, inputs, output, key=key):
                output.retain_grad()
                watched[key] = (inputs[0], output)

            hooks.append(module.register_forward_hook(watch))
    loss_of(model, example).backward()
    for hook in hooks:
        hook.remove()
    seen = {}
    for key, (x, output) in watched.items():
        sides = (each.detach()[0].double().numpy() for each in (x, output.grad))
        seen[key] = Seen(*sides, parameters[key].grad.double().numpy())
    assert seen.keys() == parameters.keys()
    return seen


def own_loss(model, example):
    return model(**pad([example], 0)).loss


def losses(model, examples):
    with torch.no_grad():
        return np.array([float(own_loss(model, example)) for example in examples])


def sampled_loss(draws):
    """Of labels drawn by these numbers at the T completion positions: the sum of their losses times T^(-1/2)."""

    def loss(model, example):
        at = torch.tensor(example.labelled) - 1
        logits = model(input_ids=torch.tensor([example.input_ids])).logits[0, at]
        ends = torch.softmax(logits.detach().double(), dim=1).cumsum(dim=1)
        labels = (ends <= torch.from_numpy(draws)[:, None] * ends[:, -1:]).sum(dim=1)
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / len(at) ** 0.5

    return loss


def curvature(at: Checkpoint, epoch):
    """The inverse of every map's damped EK-FAC matrix, dense [out * in, out * in], as the method states it."""
    settings, fit = at.config.gradients.ekfac, EkfacFit(at.config)
    seen = []
    for place, example in enumerate(at.pool):
        seen.append(
            maps_of(at.model, example, own_loss if settings.labels == "empirical" else sampled_loss(fit.draws(epoch, place, example)))
        )
    inverses = {}
    for name in seen[0]:
        vectors = [
            np.linalg.eigh(sum(part.T @ part for part in parts))[1] for parts in zip(*((s[name].g, s[name].x) for s in seen), strict=True)
        ]
        both = np.kron(*vectors)
        fisher = sum(np.outer(s[name].whole, s[name].whole) for s in seen) / len(seen)
        values = np.diag(both.T @ fisher @ both)
        inverses[name] = np.linalg.inv(both @ np.diag(values + settings.damping * values.mean()) @ both.T)
    return inverses


def ekfac(at: Checkpoint, unit=False):
    """Products of gradients in the inverse EK-FAC matrix, map by map; unit: pool rows of length one in it."""
    inverses = curvature(at, at.folder.rpartition("/epoch-")[2])
    of_pool, of_targets = ([maps_of(at.model, example, own_loss) for example in side] for side in (at.pool, at.targets))
    total, squares = 0, 0
    for name, inverse in inverses.items():
        left, right = (np.stack([s[name].whole.ravel() for s in side]) for side in (of_pool, of_targets))
        total = total + left @ inverse @ right.T
        squares = squares + np.einsum("na,ab,nb->n", left, inverse, left)
    return total / np.sqrt(squares)[:, None] if unit else total


def trak(at: Checkpoint):
    """phi_i (Phi^T Phi + lambda)^-1 phi_j of projected gradients phi of log p / (1 - p), by autograd of that."""
    sides = []
    for examples in (at.pool, at.targets):
        rows = []
        for example in examples:
            parameters = lora_parameters(at.model)
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            p = torch.exp(-own_loss(at.model, example).double())
            found = torch.autograd.grad(torch.log(p / (1 - p)), list(parameters.values()))
            rows.append(torch.cat([each.flatten() for each in found]).double().numpy())
        sides.append(
            sketched(
                {name: each.numel() for name, each in parameters.items()}, np.stack(rows), at.config.seed, at.config.gradients.projection
            )
        )
    kernel = sides[0].T @ sides[0]
    damped = kernel + at.config.gradients.trak.damping * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    return sides[0] @ np.linalg.inv(damped) @ sides[1].T


IDENTITY = {"projection": {"kind": "identity"}}
SKETCH = {"dimension": 48, "repeats": 2}
PLAIN = {
    "less": (less, {"adam_form": "less", "projection": SKETCH}, {"adam_form": "torch", "projection": SKETCH}),
    "tracin": (tracin, IDENTITY),
    "ekfac": (ekfac, IDENTITY, IDENTITY | {"ekfac": {"labels": "empirical", "damping": 0.3}}),
    "ekfac_unit": (partial(ekfac, unit=True), IDENTITY),
    "trak": (trak, {"projection": SKETCH}, {"projection": SKETCH, "trak": {"damping": 0.02}}),
    "logra": (logra, {"logra": {"rank": 3, "damping": 0.2, "fisher_examples": 50}}),
}
"""By estimator: the matrix at one checkpoint in plain torch and numpy, float64 [pool, targets], and settings to compare it under."""
CASES = [(name, settings) for name, (_, *several) in PLAIN.items() for settings in several]


def test_every_estimator_has_a_plain_form():
    assert {entry.name for entry in ESTIMATORS} == set(PLAIN), "write its matrix into PLAIN"


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{name}-{place}" for place, (name, _) in enumerate(CASES)])
def test_an_estimators_matrix_is_that_of_its_plain_form_and_its_rows_pass_the_audit(tmp_path, name, settings):
    config = make_experiment(tmp_path, rows=POOL_ROWS, gradients={"estimator": name, **settings})
    collect_all(config, [1, 2], ["alpha", "beta"])
    assert read_manifest(config.layout.pool_gradients_manifest(1, "00000"), "pool_gradients")["estimator"] == name
    compare_with_the_plain_form(config, name, WEIGHTS)
    audited = audit(config, 1, None, 4, 0) + audit(config, 2, "alpha", 2, 0)
    assert min(one.cosine for one in audited) > 0.9999999
    assert all(abs(one.norm_ratio - 1) < 1e-5 for one in audited)


@pytest.mark.parametrize("name", PLAIN)
def test_several_warm_ups_add_up_as_epochs_do(tmp_path, name):
    config = make_experiment(tmp_path, rows=POOL_ROWS, warmup={"seeds": [0, 7]}, gradients={"estimator": name, **PLAIN[name][1]})
    assert gradient_epochs(config) == list(OF_TWO)
    collect_all(config, gradient_epochs(config), ["alpha", "beta"])
    compare_with_the_plain_form(config, name, OF_TWO)
    states = [read_manifest(config.layout.pool_gradients_manifest(epoch, "00000"), "pool_gradients")["states"] for epoch in OF_TWO]
    assert [bool(each) for each in states] == [False, True, False, True], "states stand beside the last epochs' rows"
    audited = audit(config, "2-seed-7", None, 2, 0)
    assert min(one.cosine for one in audited) > 0.9999999


def compare_with_the_plain_form(config, name, weights):
    """The stages' matrix is the sum over checkpoints of the plain form's, by these weights; with `residual` the mean of the matrices times
    the mean of 1 - p."""
    pool, targets = examples_of(config, config.layout)
    expected, doubt = 0, 0
    for epoch, weight in weights.items():
        if estimator(name).residual:
            weight = 1 / len(weights)
        at = Checkpoint(config, model_at(config, config.layout, epoch), config.layout.checkpoint(epoch), pool, targets)
        expected = expected + weight * PLAIN[name][0](at)
        doubt = doubt + (1 - np.exp(-losses(at.model, pool)))[:, None] / len(weights)
    expected = expected * doubt if estimator(name).residual else expected
    found = assembled(config, weights)
    if estimator(name).scaled:
        assert np.abs(found - expected).max() <= 5e-4 * np.abs(expected).max(), "fp16 rows carry 2e-4 of a product of lengths"
    else:
        assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("side", ["pool", "target"])
@pytest.mark.parametrize("name", [entry.name for entry in ESTIMATORS])
def test_a_key_that_an_estimator_does_not_name_changes_no_row_of_it(tmp_path, name, side):
    config = make_experiment(tmp_path, rows=POOL_ROWS, epochs=1, gradients={"estimator": name, "projection": SKETCH})
    example, model = examples_of(config, config.layout)[side == "target"][0], model_at(config, config.layout, 1)

    def row(settings):
        return estimator(settings.gradients.estimator).load()(settings).recompute(model, side, 1)(example)[0]

    entry = estimator(name)
    named = set(entry.reads[side]) | set(entry.fitted.reads if entry.fitted and side in entry.fitted.sides else ())
    if entry.fitted and side in entry.fitted.sides:
        collect_all(config, [1], ["alpha"])
    expected = row(config)
    for path, _, _ in leaves(config, ["gradients"], {}):
        _, *keys = path.split(".")
        if not {".".join(keys[:depth]) for depth in range(1, len(keys) + 1)} & named:
            assert np.array_equal(row(with_another_value(config, keys)), expected), f"{name}: name {path} among what the {side}'s rows read"


def with_another_value(config, keys):
    """The experiment with another value that is allowed under a key of `gradients`."""
    changed = config.model_copy(deep=True)
    *sections, last = keys
    section = reduce(getattr, sections, changed.gradients)
    value, choices = getattr(section, last), get_args(type(section).model_fields[last].annotation)
    setattr(section, last, not value if isinstance(value, bool) else 2 * value if not choices else next(c for c in choices if c != value))
    return changed
