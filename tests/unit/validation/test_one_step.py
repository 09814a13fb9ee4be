"""One step against AdamW and a model's loss written out by hand, example by example, in float64."""

import numpy as np
import pytest
import torch

from equipoise.gradients.adam import load_moments
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.training.training_set import pool_examples
from equipoise.validation.examples import validation_examples
from equipoise.validation.one_step import InDouble, OneStep
from helpers.gradient_experiment import make_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return make_experiment(tmp_path_factory.mktemp("one_step"), rows=6, epochs=1, training={"weight_decay": 0.1})


def plain_losses(model, examples) -> np.ndarray:
    """Mean cross-entropy of each example alone, from all of its logits."""
    found = []
    for example in examples:
        ids = torch.tensor([example.input_ids])
        logs = model(input_ids=ids).logits[0].double().log_softmax(-1)
        found.append(torch.stack([-logs[place - 1, example.input_ids[place]] for place in example.labelled]).mean())
    return torch.stack(found)


def by_hand(model, moments, rate, decay, example, validation) -> np.ndarray:
    """Losses after a step of AdamW (Loshchilov and Hutter 2019) written out."""
    parameters = lora_parameters(model)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    if example is None:
        gradients = {name: torch.zeros_like(each) for name, each in parameters.items()}
    else:
        loss = plain_losses(model, [example])[0]
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
    step, b1, b2 = moments.step + 1, moments.beta1, moments.beta2
    with torch.no_grad():
        for name, parameter in parameters.items():
            first = b1 * moments.first[name].double() + (1 - b1) * gradients[name]
            second = b2 * moments.second[name].double() + (1 - b2) * gradients[name] ** 2
            direction = (first / (1 - b1**step)) / ((second / (1 - b2**step)).sqrt() + moments.eps)
            parameter.copy_(before[name] * (1 - rate * decay) - rate * direction)
        losses = plain_losses(model, validation).numpy()
        for name, parameter in parameters.items():
            parameter.copy_(before[name])
    return losses


def test_losses_after_a_step_are_those_of_adamw_by_hand(experiment):
    config, folder = experiment, experiment.layout.checkpoint(1)
    tokenizer = load_tokenizer(config.model)
    model = load_adapter(load_base(config.model, "fp32", "cpu"), folder).double()
    moments, validation = load_moments(folder, model), validation_examples(config, tokenizer)
    examples = pool_examples(config, tokenizer, config.layout.pool, [0, 2, 5])
    rate, decay = 3e-3, config.training.weight_decay
    steps = OneStep(model, moments, rate, decay, validation, batch_size=4)
    with InDouble():
        expected = [by_hand(model, moments, rate, decay, example, validation) for example in examples]
        shared = by_hand(model, moments, rate, decay, None, validation)
        before = plain_losses(model, validation).detach().numpy()
    found = np.array(list(steps.after(examples)))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(steps.without_gradient(), shared, atol=1e-10)
    np.testing.assert_allclose(steps.before(), before, atol=1e-10)
    assert np.abs(found - before).max() > 1e-4
    assert np.abs(found - shared).max() > 1e-5


def test_nothing_is_computed_in_float32(experiment):
    """A step of 1e-9 moves losses in proportion to its length; float32 anywhere inside would drown it."""
    config, folder = experiment, experiment.layout.checkpoint(1)
    tokenizer = load_tokenizer(config.model)
    model = load_adapter(load_base(config.model, "fp32", "cpu"), folder).double()
    moments, validation = load_moments(folder, model), validation_examples(config, tokenizer)
    example = pool_examples(config, tokenizer, config.layout.pool, [0])
    moved = []
    for rate in (1e-9, 2e-9):
        steps = OneStep(model, moments, rate, 0.0, validation, batch_size=4)
        moved.append(next(steps.after(example)) - steps.before())
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-3, atol=1e-14)
