"""Every GPU stage on a stand-in: nothing mixes devices, what comes out is what the CPU gives, and each wait for the device is of a list."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from equipoise.config import Lora
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.errors import UserError
from equipoise.layout import Run
from helpers.evaluation_experiment import evaluation_of
from helpers.experiment import changed
from helpers.gradient_experiment import collect_all, make_experiment
from helpers.stand_in import GPU, OnStandIn, StandIn, put, stand_in_gpu

ONCE = {
    ("to device", "adapter.py:load_adapter"),
    ("copy", "adapter.py:load_adapter"),
    ("to device", "adapter.py:attach_adapter"),
    ("item", "adapter.py:refuse_non_finite_weights"),
    ("copy", "checkpoint.py:swap_adapter"),
    ("item", "targets.py:_called"),
    ("item", "head.py:_tried"),
    ("item", "head.py:_refuse_non_finite"),
    ("item", "head.py:_close"),
    ("to device", "adam.py:<dictcomp>"),
    ("to device", "projection.py:_device_map"),
    ("to host", "checkpoint.py:save_adapter"),
    ("to host", "checkpoint.py:adam_moments"),
}
"""What a stage may do when it starts, and when it writes a checkpoint."""
COLLECTING = {
    ("to device", "engine.py:run"): 1,  # tokens
    ("to device", "engine.py:<genexpr>"): 3,  # places, labels, weights
    ("item", "engine.py:run"): 1,  # transformers looks whether positions are packed
    ("to device", "engine.py:_states"): 1,
    ("to host", "engine.py:run"): 1,  # losses, for the rows
    ("to host", "engine.py:_result"): 1,  # losses
    ("to host", "engine.py:<dictcomp>"): 2,  # states
    ("to host", "rows.py:finish"): 1,
}
"""Waits of a batch."""
TRAINING = {
    ("to device", "batch_trainer.py:get_batch_samples"): 3,
    ("item", "batch_trainer.py:training_step"): 2,  # transformers' mask: is it all ones?
    ("mask", "batch_trainer.py:example_loss"): 3,
    ("mask", "batch_trainer.py:training_step"): 1,  # its gradient
}
"""Waits of a micro batch."""
STEPPING = {
    ("to host", "batch_trainer.py:_clip_grad_norm"): 1,  # torch groups gradients by the wrapped tensors' device: not on a GPU
    ("item", "batch_trainer.py:_clip_grad_norm"): 2,
    ("item", "batch_trainer.py:refuse_non_finite_adapter"): 1,
    ("item", "trainer.py:train"): 3,  # gradient norm and loss for transformers' own log
}
"""Waits of an optimizer's step."""
RUN = Run("bids", 0, "0.1", 1, 0)


def refuse_others(seen, *loops):
    """loops: waits of one turn with how many turns there were."""
    allowed = {key: most * turns for waits, turns in loops for key, most in waits.items()}
    others = {key: count for key, count in seen.items() if key not in ONCE and count > allowed.get(key, 0)}
    assert not others, f"the processor waits for the GPU: {others}"


def test_the_stand_in_refuses_what_a_gpu_refuses_and_counts_what_it_waits_for(monkeypatch):
    with stand_in_gpu(monkeypatch) as seen:
        there, here = torch.ones(2, 3, device="cuda"), torch.ones(2, 3)
        assert there.device == GPU
        for mixed in (lambda: there + here, lambda: there @ here.T, lambda: torch.cat([there, here]), lambda: there[:, 0].add_(here[:, 0])):
            with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
                mixed()
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
        assert not seen
        assert isinstance(there * torch.tensor(2.0), StandIn), "a number of the host is taken, as CUDA does"
        there.sum().item(), bool(there.all()), there.cpu(), there[there > 0], there.tolist(), here.to("cuda")
        assert {kind: sum(n for (k, _), n in seen.items() if k == kind) for kind, _ in seen} == {
            "item": 3,
            "to host": 1,
            "mask": 1,
            "to device": 1,
        }
        assert all(place.startswith("test_stand_in.py:") for _, place in seen)
    layer = torch.nn.Linear(3, 2)
    expected = layer(here).sum()
    with OnStandIn():
        put(layer)(there).sum().backward()
        assert layer.weight.grad.device == GPU
    assert float(expected.detach()) == pytest.approx(float(layer(there).sum().detach()))


def stores(config):
    from equipoise.store.gradients import GradientReader

    readers = [GradientReader(config.layout.pool_gradients(1)), GradientReader(config.layout.target_gradients(1, "alpha"))]
    return [(reader.read(0, reader.rows).directions.astype(float), reader.read(0, reader.rows).norm) for reader in readers]


@pytest.mark.parametrize("estimator", ["less", "logra", "ekfac", "trak"])
def test_collection_and_what_estimators_fit(tmp_path, monkeypatch, estimator):
    settings = {"gradients": {"estimator": estimator, "logra": {"fisher_examples": 8}, "ekfac": {"fisher_examples": 8}}}
    found = []
    for place in ("cpu", "gpu"):
        config = make_experiment(tmp_path / place, epochs=1, **settings)
        if place == "cpu":
            collect_all(config, [1], ["alpha"])
        else:
            with stand_in_gpu(monkeypatch) as seen:
                collect_all(config, [1], ["alpha"])
        found.append(stores(config))
    for (expected, expected_norm), (rows, norm) in zip(*found, strict=True):
        valid = np.isfinite(expected_norm)
        assert valid.sum() > 2
        np.testing.assert_allclose(rows[valid], expected[valid], atol=1e-3)
        np.testing.assert_allclose(norm, expected_norm, rtol=1e-4)
    if estimator == "less":
        refuse_others(seen, (COLLECTING, seen["to host", "rows.py:finish"]))


def test_stages_without_gradients_single_steps_and_the_pilot(tmp_path, monkeypatch):
    """Losses of the untuned base, losses after single optimizer steps, and the pilot that chooses a width: those of the CPU."""
    from equipoise.attribution import choose_dimension
    from equipoise.gradients.score_pool import score_pool
    from equipoise.selection.rank import _pool_columns
    from equipoise.store.artefact import open_artefact
    from equipoise.validation.measure_one_step import measure_one_step, read_one_step

    columns = ("base_loss", "base_loss_alone")
    settings = {
        "selectors": ["ifd"],
        "gradients": {"projection": {"dimension": "auto"}},
        "validation": {"estimators": ["less"], "one_step": {"rows": 3}},
    }

    def measured(config):
        for column in columns:
            score_pool(config, column, 0)
        measure_one_step(config, [1])
        choose_dimension.choose_dimension(config)
        steps, widths = read_one_step(config, 1), open_artefact(config, "projection")["measured"]
        return [*_pool_columns(config, columns).values(), steps.before, steps.after, steps.without_gradient, [*widths.values()]]

    monkeypatch.setattr(choose_dimension, "REACHED", 0.5)
    expected = measured(make_experiment(tmp_path / "cpu", epochs=1, **settings))
    config = make_experiment(tmp_path / "gpu", epochs=1, **settings)
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # float64: no wrapped tensor changes its format in place
    try:
        with stand_in_gpu(monkeypatch) as seen:
            found = measured(config)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    assert seen["to host", "engine.py:_result"] > 0, "the stages were to compute on the stand-in"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("estimator", "tied"), [("less", False), ("logra", True), ("ekfac", False)])
def test_a_base_over_two_gpus_has_the_rows_of_one(tiny_base, monkeypatch, estimator, tied):
    """Layers here and there by accelerate's hooks, as `device_map` leaves them; the output layer with the embeddings, if they are one."""
    from accelerate import dispatch_model

    from equipoise.gradients.ekfac import Basis, PreconditionedRows
    from equipoise.gradients.engine import Engine
    from equipoise.gradients.logra import LograRows
    from equipoise.gradients.projection import Identity
    from equipoise.gradients.rows import LoraRows
    from equipoise.modelling.chat import Encoded
    from helpers.base import random_adapter

    def rows(spread):
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(tiny_base, tie_word_embeddings=tied)
        base = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        if spread:
            first = ("model.embed_tokens", "model.rotary_emb", "model.layers.0", *(["lm_head"] if tied else []))
            second = ("model.layers.1", "model.norm", *([] if tied else ["lm_head"]))
            base = dispatch_model(base, dict.fromkeys(first, "cuda:0") | dict.fromkeys(second, "cuda:1"), force_hooks=True)
        engine = Engine(random_adapter(base, Lora(rank=4, alpha=8, dropout=0.0, target_modules="all-linear"), 3))
        sizes = {name: a * b for name, (a, b) in engine.capture.shapes.items()}
        if estimator == "logra":
            maker = LograRows(engine.capture.layers, 2, 0)
        elif estimator == "ekfac":
            shapes = engine.capture.shapes.items()
            eyes = {n: [torch.eye(size, device=engine.device) for size in shape] for n, shape in shapes}
            bases = {n: Basis(eyes[n][1], eyes[n][0], torch.full(shape, 2.0, device=engine.device)) for n, shape in shapes}
            maker = PreconditionedRows(Identity(sizes), bases)
        else:
            maker = LoraRows(Identity(sizes))
        found = engine.run([Encoded(list(range(5, 25)), 4), Encoded(list(range(9, 22)), 2)], maker, ("last_token",))
        return found, {each.device for each in engine.model.parameters()}

    expected, _ = rows(spread=False)
    with stand_in_gpu(monkeypatch) as seen:
        found, places = rows(spread=True)
    assert places == {torch.device("cuda", 0), torch.device("cuda", 1)}
    assert any(kind == "across" for kind, _ in seen)
    np.testing.assert_allclose(found.gradients, expected.gradients, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
    np.testing.assert_allclose(found.states["last_token"], expected.states["last_token"], rtol=1e-4, atol=1e-5)


def test_training(tiny_values, tmp_path, monkeypatch):
    from equipoise.training.warm_up import warm_up

    adapters = []
    for place in ("cpu", "gpu"):
        own = {"results": str(tmp_path / place), "pool": {"limit": 16}, "warmup": {"epochs": 1}, "budgets": [0.2]}
        config = parse_config(changed(tiny_values, own))
        prepare_pool(config)
        if place == "cpu":
            warm_up(config)
        else:
            with stand_in_gpu(monkeypatch) as seen:
                warm_up(config)
        folder = Path(config.layout.checkpoint(1))
        adapters.append([load_file(folder / name) for name in ("adapter_model.safetensors", "moments.safetensors")])
    for expected, found in zip(*adapters, strict=True):
        assert expected.keys() == found.keys()
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-5)
    refuse_others(seen, (TRAINING, 4), (STEPPING, 2))


def test_evaluation(tiny_values, tmp_path, monkeypatch):
    """Answers, choices and held-out loss: those of the CPU."""
    from equipoise.evaluation.evaluate import evaluate

    config = evaluation_of(tiny_values, tmp_path, RUN)
    written = []
    for place in ("cpu", "gpu"):
        for suite, seed in (("chat", 0), ("plain", 0), ("chat", "loss")):
            Path(config.layout.scores(RUN, suite, seed)).unlink(missing_ok=True)
            if place == "cpu":
                evaluate(config, RUN, suite, seed)
            else:
                with stand_in_gpu(monkeypatch) as seen:
                    evaluate(config, RUN, suite, seed)
                    if (suite, seed) == ("chat", 0):
                        assert seen["mask", "decoding.py:decode"] <= 1, "a mask that picks rows at every step"
                monkeypatch.undo()
            written.append(Path(config.layout.samples(RUN, suite, seed)).read_text())
    assert written[:2] == written[3:5]
    assert len(written[2]) > 100
    assert len(written[2].splitlines()) == len(written[5].splitlines())


@pytest.mark.parametrize("tied", [False, True])
def test_a_base_over_two_gpus_answers_as_one_does(tiny_base, tmp_path, monkeypatch, tied):
    """Greedy answers, choices' logits and held-out loss, an adapter merged into layers on both."""
    from accelerate import dispatch_model

    from equipoise.evaluation.decoding import decode
    from equipoise.evaluation.language_model import output_in_fp32
    from equipoise.evaluation.loss import losses
    from equipoise.modelling.adapter import merged, take_off
    from equipoise.modelling.chat import Encoded
    from helpers.base import random_adapter

    examples = [Encoded(list(range(5, 25)), 4), Encoded(list(range(9, 22)), 2)]

    def answered(spread):
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(tiny_base, tie_word_embeddings=tied)
        base = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        if not spread:
            made = random_adapter(base, Lora(rank=4, alpha=8, dropout=0.0, target_modules="all-linear"), 3)
            made.save_pretrained(tmp_path)
            take_off(made, base)
        else:
            first = ("model.embed_tokens", "model.rotary_emb", "model.layers.0", *(["lm_head"] if tied else []))
            second = ("model.layers.1", "model.norm", *([] if tied else ["lm_head"]))
            base = dispatch_model(base, dict.fromkeys(first, "cuda:0") | dict.fromkeys(second, "cuda:1"), force_hooks=True)
        device = next(base.parameters()).device
        context = torch.tensor([[0, 0, 7, 8, 9], [4, 5, 6, 7, 8]]).to(device)
        mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).to(device)
        with merged(base, tmp_path) as model:
            tokens = decode(model, context, mask, 16, 2, 0, lambda rows: [False] * len(rows))
            with torch.no_grad(), output_in_fp32(model):
                logits = model(input_ids=context, use_cache=False).logits
            places = {each.device for each in model.parameters()}
            return tokens.tolist(), logits.cpu().numpy(), losses(model, examples, 2, 0), places

    *expected, _ = answered(spread=False)
    with stand_in_gpu(monkeypatch) as seen:
        *found, places = answered(spread=True)
    assert places == {torch.device("cuda", 0), torch.device("cuda", 1)}
    assert any(kind == "across" for kind, _ in seen)
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"device_map": "auto"}}, "model.device_map: auto with jobs.gpus: 1; write"),
        ({"jobs": {"gpus": 2}}, "model.device_map: none with jobs.gpus: 2; write"),
        ({"model": {"device_map": "auto"}, "jobs": {"gpus": 2, "runs": "together"}}, "jobs.runs: together trains with the same base"),
    ],
)
def test_a_base_over_several_gpus_says_over_how_many(tiny_values, changes, said):
    with pytest.raises(UserError, match=said):
        parse_config(changed(tiny_values, changes))


def test_stages_ask_for_a_base_over_all_gpus_and_refuse_one_that_lies_elsewhere(tiny_values, monkeypatch):
    """What transformers is asked for; a part on the host or the disk would be fetched at every pass."""
    from transformers import AutoModelForCausalLM

    from equipoise.modelling.base import load_base

    config = parse_config(changed(tiny_values, {"model": {"device_map": "auto"}, "jobs": {"gpus": 2}}))
    real, asked = AutoModelForCausalLM.from_pretrained, []

    def loaded(*arguments, device_map, **named):
        asked.append(device_map)
        base, told = real(*arguments, device_map=None, **named)
        base.hf_device_map = {"model.layers.0": 0, "model.layers.1": places[-1]}
        return base, told

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", loaded)
    places = [1]
    load_base(config.model, "fp32", GPU, None, True)
    assert asked == ["auto"]
    places.append("disk")
    with pytest.raises(UserError, match=r"does not fit into 1 GPUs \(model\.layers\.1 and on\); raise jobs\.gpus, or write nf4"):
        load_base(config.model, "fp32", GPU, None, True)
