"""The plan's evaluation: a batch is decoded until its longest answer ends, and the bare base never stops."""

import numpy as np
import pytest

from equipoise.config import Suite
from equipoise.config_file import parse_config, read_config
from equipoise.planning.evaluating import SECONDS_PER_LAYER, VLLM_SEQUENCES, decoding_steps
from equipoise.planning.plan import plan
from equipoise.planning.workload import assumed_lengths, items_of
from helpers.places import REPOSITORY


@pytest.fixture
def evaluated(tiny_values):
    tiny_values["tasks"]["first"] |= {"suite": "small", "lm_eval_tasks": ["first"]}
    return tiny_values | {"suites": {"small": {"batch_size": 16}}}


def scores(config) -> dict[str, float]:
    """GPU-seconds of one evaluation, by selector."""
    stage = next(stage for stage in plan(config).stages if stage.name == "evaluate")
    return {item.key[0].selector: cost.gpu_seconds for job in stage.jobs for item, cost in job}


def test_steps_are_the_longest_answers_of_the_batches_not_the_mean():
    lengths = assumed_lengths(400, 1024)
    drawn = np.random.default_rng(0).choice(lengths, (400, 1000))
    decoded = [sum(row[i : i + 32].max() for i in range(0, 1000, 32)) for row in drawn]
    expected = decoding_steps(1000, lengths, Suite(batch_size=32))
    assert expected == pytest.approx(np.mean(decoded), rel=0.02)
    assert expected > 2 * lengths.mean() * 1000 / 32


def test_the_steps_are_those_the_decoder_takes():
    """The real decoder over a model that ends each row at a length of its own."""
    import torch

    from equipoise.evaluation.decoding import decode

    lengths = np.array([3, 9, 5, 17])
    passes = []

    class Ending:
        """Says token 5 until a row's length is reached, then eos; the row's number is its first token."""

        config = None

        def prepare_inputs_for_generation(self, input_ids, is_first_iteration, **given):
            return {"input_ids": input_ids} | given

        def __call__(self, **given):
            return self.forward(**given)

        def forward(self, input_ids, past_key_values, **_):
            passes.append(len(input_ids))
            logits = torch.zeros(len(input_ids), 1, 32)
            number = input_ids[:, 0] if len(passes) == 1 else input_ids[:, -1]
            last = torch.tensor([len(passes) >= lengths[n - 8] for n in number])
            logits[torch.arange(len(number)), 0, torch.where(last, torch.tensor(2), number)] = 1.0
            return type("Output", (), {"logits": logits})

    context = torch.arange(8, 12)[:, None]
    out = decode(Ending(), context, torch.ones_like(context), 100, 2, 2, lambda rows: [False] * len(rows))
    assert (out[:, 1:] != 2).sum(1).tolist() == (lengths - 1).tolist()
    assert len(passes) == lengths.max()
    assert decoding_steps(4, np.repeat(lengths, 5000), Suite(batch_size=4)) < len(passes)  # random batches hold the longest row less often
    assert decoding_steps(4, np.full(1, 17), Suite(batch_size=4)) == len(passes)


def test_vllm_fills_places_as_they_free():
    lengths = assumed_lengths(400, 1024)
    static = decoding_steps(5000, lengths, Suite(batch_size=VLLM_SEQUENCES))
    continuous = decoding_steps(5000, lengths, Suite(backend="vllm"))
    assert 5000 * lengths.mean() / VLLM_SEQUENCES < continuous < static
    assert decoding_steps(100, lengths, Suite(backend="vllm")) == decoding_steps(100, lengths, Suite(batch_size=100))


def test_the_bare_base_answers_up_to_the_cap(evaluated):
    config = parse_config(evaluated)
    seconds = scores(config)
    items = items_of(config, config.tasks["first"], config.suites["small"])
    assert set(items.lengths(stops=False)) == {items.cap}
    steps = [decoding_steps(items.items, items.lengths(stops), config.suites["small"]) for stops in (False, True)]
    assert seconds["zero_shot"] / seconds["bids"] == pytest.approx(steps[0] / steps[1])  # an adapter is merged, and costs no step
    quantised = parse_config(evaluated | {"model": evaluated["model"] | {"quantisation": "nf4"}})
    each = SECONDS_PER_LAYER[False] / SECONDS_PER_LAYER[True]  # apart from its maps it starts kernels of its own
    assert (found := scores(quantised))["zero_shot"] / found["bids"] == pytest.approx(each * steps[0] / steps[1])
    assert any("zero_shot never stops" in line for line in plan(config).assumptions)
    assert any("until its longest one ends" in line for line in plan(config).assumptions)


def test_a_suites_own_cap_replaces_the_tasks(evaluated):
    evaluated["suites"]["small"]["max_new_tokens"] = 8
    config = parse_config(evaluated)
    items = items_of(config, config.tasks["first"], config.suites["small"])
    assert (items.cap, items.answer) == (8, 8)
    assert max(items.lengths(stops=True)) == 8


def test_vllm_is_named_where_a_large_model_decodes_with_transformers():
    def said(name: str, backend: str) -> bool:
        config = read_config(REPOSITORY / "workflow" / "experiments" / f"{name}.yaml")
        suites = {key: suite.model_copy(update={"backend": backend}) for key, suite in config.suites.items()}
        return any("backend: vllm is what to use" in line for line in plan(config.model_copy(update={"suites": suites})).assumptions)

    assert [said("llama3-8b", "hf"), said("llama3-8b", "vllm"), said("smollm2-135m", "hf")] == [True, False, False]
