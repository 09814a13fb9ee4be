"""Bases kept in 4 bits: gradients through them are those of the same base with whole weights; 8 bits are for evaluation alone."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from equipoise.config import Lora
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.errors import UserError
from equipoise.gradients.engine import Engine
from equipoise.layout import Run
from equipoise.modelling.base import load_base
from equipoise.modelling.quantised import dequantised, is_in_four_bits
from helpers.base import random_adapter
from helpers.evaluation_experiment import evaluation_values, make_adapter
from helpers.experiment import changed
from helpers.families import FAMILIES, tiny_model
from helpers.gradient_experiment import collect_all, make_experiment

pytest.importorskip("bitsandbytes")
NF4 = {"quantisation": "nf4"}


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def collected(request, tmp_path_factory):
    """A base in 4 bits, its gradients collected in a number format."""
    folder = tmp_path_factory.mktemp("nf4")
    config = make_experiment(folder, epochs=1, model=NF4 | {"max_length": 96}, gradients={"precision": request.param, "token_budget": 400})
    collect_all(config, [1], ["alpha"])
    return config


def test_rows_are_those_of_the_dequantised_base(collected):
    """By fp32 within 1e-3 (in fact 1e-5); bf16 computes within what bf16 rounds."""
    from equipoise.gradients.audit_gradients import audit

    exact = collected.gradients.precision == "fp32"
    for task in (None, "alpha"):
        for row in audit(collected, 1, task, 6, 0):
            assert row.cosine > (1 - 1e-5 if exact else 0.99), row
            assert row.norm_ratio == pytest.approx(1, abs=1e-3 if exact else 0.1), row
            assert row.loss_ratio == pytest.approx(1, abs=1e-4 if exact else 0.02), row


def test_a_quantised_base_gives_other_rows_than_the_whole_one(tmp_path, collected):
    from equipoise.store.gradients import GradientReader

    whole = make_experiment(tmp_path, epochs=1, gradients={"precision": collected.gradients.precision, "token_budget": 400})
    collect_all(whole, [1], ["alpha"])
    rows = [GradientReader(config.layout.target_gradients(1, "alpha")).read(0, 3).directions for config in (whole, collected)]
    cosines = (rows[0].astype(float) * rows[1].astype(float)).sum(axis=1)
    assert (cosines < 0.9999).all()
    assert (cosines > 0.5).all()


def in_four_bits(tiny_config):
    return load_base(tiny_config.model.model_copy(update=NF4), "fp32", "cpu")


def test_no_two_weights_are_whole_at_a_time(tiny_config, monkeypatch):
    import bitsandbytes.functional as kernels

    from equipoise.gradients.projection import Identity
    from equipoise.gradients.rows import LoraRows
    from equipoise.modelling.chat import Encoded

    base = in_four_bits(tiny_config)
    maps = [module for module in base.modules() if is_in_four_bits(module)]
    assert len(maps) == 14
    assert all(module.weight.numel() * 2 == module.in_features * module.out_features for module in maps)
    engine = Engine(random_adapter(base, Lora(rank=4, alpha=8, dropout=0.0, target_modules="all-linear"), 3))
    real, living, most = kernels.dequantize_4bit, weakref.WeakSet(), []

    def watched(*arguments, **named):
        gc.collect()
        weight = real(*arguments, **named)
        living.add(weight)
        most.append(len(living))
        return weight

    monkeypatch.setattr(kernels, "dequantize_4bit", watched)
    engine.run([Encoded(list(range(5, 25)), 4)] * 2, LoraRows(Identity({n: a * b for n, (a, b) in engine.capture.shapes.items()})))
    assert len(most) == 11, "every map but the first three gives its input a gradient"
    assert max(most) == 1


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "qwen3", "gemma2"])
def test_other_families_have_exact_gradients_in_four_bits(name, tmp_path):
    """GPT-2's transposed maps, experts, norms of heads, capped logits: the engine against autograd through PEFT on the whole weights."""
    from equipoise.config import Model
    from equipoise.gradients.estimator import autograd_gradients
    from equipoise.gradients.projection import Identity
    from equipoise.gradients.rows import LoraRows
    from equipoise.modelling.adapter import lora_parameters
    from equipoise.modelling.chat import Encoded

    tiny_model(FAMILIES[name]).save_pretrained(tmp_path)
    model = Model(name="x", base=str(tmp_path), precision="fp32", max_length=32, device="cpu", **NF4)
    lora, example = Lora(rank=4, alpha=8, dropout=0.0), Encoded(list(range(3, 20)), 4)
    engine = Engine(random_adapter(load_base(model, "fp32", "cpu"), lora, 3))
    found = engine.run([example], LoraRows(Identity({n: a * b for n, (a, b) in engine.capture.shapes.items()})))
    plain = random_adapter(dequantised(load_base(model, "fp32", "cpu")), lora, 3)
    gradients, loss = autograd_gradients(plain, example, lora_parameters(plain))
    expected = np.concatenate([each.double().numpy().ravel() for each in gradients.values()])
    assert np.linalg.norm(found.gradients[0] - expected) < 1e-3 * np.linalg.norm(expected)
    assert found.loss[0] == pytest.approx(loss, rel=1e-4)


def test_no_pass_repacks_the_weights(tiny_config, monkeypatch):
    """As bitsandbytes does on CPUs with bf16 instructions: a repacked map has no backward pass."""
    from bitsandbytes.nn import modules

    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    base = in_four_bits(tiny_config)
    before = [module.weight.data.clone() for module in base.modules() if is_in_four_bits(module)]
    with torch.no_grad():
        base(input_ids=torch.arange(5, 12)[None])
    after = [module.weight.data for module in base.modules() if is_in_four_bits(module)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_are_trained_on_a_base_in_four_bits(tiny_values, checkpointing):
    from safetensors.torch import load_file

    from equipoise.training.warm_up import warm_up

    adapters = []
    for kind in ("nf4", "none"):
        own = {"model": {"quantisation": kind}, "warmup": {"epochs": 1}, "results": f"{tiny_values['results']}-{kind}"}
        config = parse_config(changed(tiny_values, own | {"training": {"activation_checkpointing": checkpointing}}))
        prepare_pool(config)
        warm_up(config)
        adapters.append(load_file(Path(config.layout.checkpoint(1)) / "adapter_model.safetensors"))
    quantised, whole = adapters
    assert quantised.keys() == whole.keys()
    moved = [name for name in whole if not torch.equal(quantised[name], whole[name])]
    assert moved == list(whole), "another base trains another adapter"
    for name in whole:
        assert torch.nn.functional.cosine_similarity(quantised[name].flatten(), whole[name].flatten(), dim=0) > 0.5, name


def test_eight_bits_are_for_evaluation_alone(tiny_values, tmp_path, tiny_config):
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.store.manifest import read_manifest

    with pytest.raises(
        UserError, match=r"model\.quantisation: int8 is for evaluation only.*neighbours'.*suites\.<name>\.quantisation: int8"
    ):
        parse_config(changed(tiny_values, {"model": {"quantisation": "int8"}}))
    base = load_base(tiny_config.model, "fp32", "cpu", "int8")
    with pytest.raises(UserError, match=r"q_proj is in int8, which is for evaluation only: int8 quantises .*neighbours'"):
        Engine(random_adapter(base, Lora(rank=4, alpha=8, dropout=0.0), 3))
    from equipoise.data.targets import prepare_targets

    run, losses = Run("bids", 0, "0.1", 1, 0), {}
    values = evaluation_values(tiny_values, tmp_path, test_rows=8)
    for kind in (None, "nf4", "int8"):
        values["suites"]["chat"] |= {"measure": "both", "quantisation": kind}
        config = parse_config(values)
        prepare_targets(config, list(config.tasks))
        make_adapter(config, run, 1)
        evaluate(config, run, "chat", "loss")
        scores = read_manifest(config.layout.scores(run, "chat", "loss"), "scores")
        losses[kind] = (scores["tasks"]["first"]["score"], scores["fingerprint"])
    assert len({score for score, _ in losses.values()}) == len({mark for _, mark in losses.values()}) == 3
    assert all(score == pytest.approx(losses[None][0], rel=0.05) for score, _ in losses.values())


def test_vllm_serves_the_whole_base_alone(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    values["model"] |= NF4
    values["suites"]["plain"] |= {"backend": "vllm"}
    with pytest.raises(
        UserError, match=r"suites\.plain\.backend: vllm serves the whole base alone; write suites\.plain\.quantisation: none"
    ):
        parse_config(values)
    values["suites"]["plain"] |= {"quantisation": "none"}
    parse_config(values)
