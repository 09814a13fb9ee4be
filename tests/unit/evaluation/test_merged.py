"""Adapters are merged for evaluation: what comes out is what the adapter beside its maps gives, and the base is untouched."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from equipoise.config import Lora
from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.evaluation import session
from equipoise.evaluation.evaluate import evaluate
from equipoise.layout import Run
from equipoise.modelling.adapter import load_adapter, merged, take_off
from helpers.base import random_adapter
from helpers.evaluation_experiment import evaluation_of, evaluation_values, make_adapter
from helpers.experiment import changed

RUN = Run("bids", 0, "0.1", 1, 0)


def written(config, run, suite, part, session=None):
    Path(config.layout.scores(run, suite, part)).unlink(missing_ok=True)
    evaluate(config, run, suite, part, session)
    scores = json.loads(Path(config.layout.scores(run, suite, part)).read_text())
    return [json.loads(line) for line in Path(config.layout.samples(run, suite, part)).read_text().splitlines()], scores


def test_answers_choices_and_scores_are_those_of_the_adapter_apart(tiny_values, tmp_path, monkeypatch):
    """Greedy answers and choices equal, held-out loss to fp32's last places, in fp32 on a CPU."""
    config = evaluation_of(tiny_values, tmp_path, RUN)
    parts = (("chat", 0), ("plain", 0), ("chat", "loss"))
    found = [written(config, RUN, *part) for part in parts]
    monkeypatch.setattr(session, "merges", lambda config, suite: False)
    apart = [written(config, RUN, *part) for part in parts]
    for (rows, scores), (other_rows, other_scores), (_, part) in zip(found, apart, parts, strict=True):
        assert scores["fingerprint"] != other_scores["fingerprint"], "scores of an adapter apart would be taken for these"
        if part != "loss":
            assert rows == other_rows
            assert scores["tasks"] == other_scores["tasks"]
        losses = [[row["score"] for row in each] for each in (rows, other_rows)]
        np.testing.assert_allclose(*losses, rtol=1e-5)


def test_no_adapter_is_left_in_the_base_nor_its_rounding(tiny_values, tmp_path):
    """Runs of a fold share the base: each finds every bit of it as it was loaded."""
    config = parse_config(evaluation_values(tiny_values, tmp_path, test_rows=4))
    prepare_targets(config, list(config.tasks))
    shared = session.Session(config)
    base = shared.base_of("chat")
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    alone = written(config, Run("zero_shot", 0, "0", 0, 0), "chat", 0, shared)[0]
    for seed in (1, 2):
        run = Run("bids", 0, "0.1", 1, seed)
        make_adapter(config, run, seed)
        evaluate(config, run, "chat", 0, shared)
    after = base.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert written(config, Run("zero_shot", 0, "0", 0, 0), "chat", 0, shared)[0] == alone


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merged_weights_are_rounded_once_and_come_back_after_a_failure(tiny_base, tmp_path, dtype):
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=dtype).eval().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    made = random_adapter(base, Lora(rank=4, alpha=8, dropout=0.0, target_modules=["q_proj", "down_proj"]), 3)
    made.save_pretrained(tmp_path)
    factors = {name: tensor.detach().double() for name, tensor in made.state_dict().items() if ".lora_" in name}
    take_off(made, base)
    tokens, changed_maps, seen = torch.arange(5, 25)[None], 0, {}
    apart = load_adapter(base, tmp_path)
    expected = apart(tokens).logits
    take_off(apart, base)

    def broken_off():
        with merged(base, tmp_path) as whole:
            assert not any(".lora_" in name for name, _ in whole.named_parameters())
            seen.update(weights=dict(whole.state_dict()), logits=whole(tokens).logits)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    for name, weight in seen["weights"].items():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_{{}}.default.weight"
        if key.format("A") in factors:
            exact = before[name].double() + 2.0 * factors[key.format("B")] @ factors[key.format("A")]
            torch.testing.assert_close(weight, exact.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-7)
            changed_maps += not torch.equal(weight, before[name])
    assert changed_maps == 2 * base.config.num_hidden_layers
    close = {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    assert (seen["logits"] - expected).norm() < close * expected.norm()
    assert all(torch.equal(before[name], tensor) for name, tensor in base.state_dict().items())
    assert not hasattr(base, "peft_config")


def test_an_adapter_that_cannot_be_attached_leaves_the_base_alone(tiny_base, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(tiny_base).eval().requires_grad_(False)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"none")
    with pytest.raises(UserError), merged(base, tmp_path):
        raise AssertionError
    assert not hasattr(base, "peft_config")


def test_a_quantised_base_keeps_its_adapter_apart(tiny_values):
    values = changed(tiny_values, {"suites": {"chat": {"quantisation": "nf4"}, "plain": {}}})
    values["tasks"]["first"] |= {"suite": "chat", "lm_eval_tasks": ["first"]}
    values["tasks"]["second"] |= {"suite": "plain", "lm_eval_tasks": ["second"]}
    config = parse_config(values)
    assert not session.merges(config, "chat")
    assert session.merges(config, "plain")
