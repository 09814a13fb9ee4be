"""Every family of models: where the adapter is, exact gradients, padding, and answers as `generate` gives them, on tiny random models."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.config import Lora
from equipoise.errors import UserError
from equipoise.evaluation.decoding import decode
from equipoise.gradients.engine import Engine
from equipoise.gradients.estimator import autograd_gradients
from equipoise.gradients.logra import LograRows, projection_matrix
from equipoise.gradients.projection import Identity
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import attach_adapter, lora_parameters
from equipoise.modelling.chat import Encoded, pad
from equipoise.modelling.targets import adapted_modules, carrying, shortest_names
from helpers.base import random_adapter
from helpers.families import FAMILIES, LLAMA, LONGEST, VOCABULARY, Family, tiny_model

NEW_TOKENS = 10
LEFT_PADDING_COUNTS = {"llama4": "transformers counts padding as positions where it tunes the temperature"}


def rank_four(targets) -> Lora:
    return Lora(rank=4, alpha=8, dropout=0.0, target_modules=targets)


def some_examples() -> list[Encoded]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 1), (9, 0), (LONGEST, 20), (LONGEST, 1), (13, 5)]
    return [Encoded(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist(), prompt) for length, prompt in shapes]


def assert_exact(model, bare_head=True) -> Engine:
    """Rows of batches against PEFT's own layers and autograd, one example at a time; examples are padded on the right in batches alone."""
    engine, examples = Engine(model), some_examples()
    assert engine.head.is_linear == bare_head
    found = engine.run(examples, LoraRows(Identity({name: a * b for name, (a, b) in engine.capture.shapes.items()})))
    for row, example in enumerate(examples):
        gradients, loss = autograd_gradients(model, example, lora_parameters(model))
        expected = np.concatenate([gradient.double().numpy().ravel() for gradient in gradients.values()])
        norms = np.linalg.norm(expected), np.linalg.norm(found.gradients[row])
        assert expected @ found.gradients[row] / norms[0] / norms[1] >= 1 - 1e-9
        np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
        assert found.loss[row] == pytest.approx(loss, rel=1e-5)
    model.requires_grad_(False)
    return engine


def assert_recomputed_alike(model, engine):
    """Activation checkpointing changes no bit. It stays on in the model."""
    sizes = {name: a * b for name, (a, b) in engine.capture.shapes.items()}
    kept = engine.run(some_examples(), LoraRows(Identity(sizes))).gradients
    assert (
        Engine(model, activation_checkpointing=True).run(some_examples(), LoraRows(Identity(sizes))).gradients.tobytes() == kept.tobytes()
    )


def assert_trained_as_collected(model):
    """The logits of a batch padded on the right, as training runs it, are those of each example alone."""
    examples = some_examples()
    batch = pad(examples, 0)
    with torch.no_grad():
        together = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        for row, example in enumerate(examples):
            alone = model(input_ids=torch.tensor([example.input_ids]), use_cache=False).logits[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, rtol=1e-4, atol=1e-4)


def assert_decoded_as_generate_does(model, left_padding=True):
    """Greedy answers of a batch padded on the left, whose rows end one after the other, and of a pass over each whole answer."""
    generator, lengths = torch.Generator().manual_seed(1), [4, 11, 7, 9]
    longest = max(lengths)
    context = torch.zeros(len(lengths), longest, dtype=torch.int64)
    mask = torch.zeros_like(context)
    for row, length in enumerate(lengths):
        context[row, longest - length :] = torch.randint(3, VOCABULARY, (length,), generator=generator)
        mask[row, longest - length :] = 1
    settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": 0}
    first = model.generate(input_ids=context, attention_mask=mask, eos_token_id=None, **settings)
    ends = int(first[1, longest + 2])  # the second row ends early at least, and leaves the batch
    expected = model.generate(input_ids=context, attention_mask=mask, eos_token_id=ends, **settings)
    found = decode(model, context, mask, longest + NEW_TOKENS, ends, 0, lambda rows: [False] * len(rows))
    assert torch.equal(found[:, : expected.shape[1]], expected)
    assert not found[:, expected.shape[1] :].any()
    for row, length in enumerate(lengths if left_padding else []):
        answer = found[row, longest - length :]
        answer = answer[: length + int((answer[length:] == ends).cumsum(0).eq(0).sum()) + 1]
        with torch.no_grad():
            logits = model(input_ids=answer[None], use_cache=False).logits[0, length - 1 : -1]
        torch.testing.assert_close(logits.gather(1, answer[length:, None])[:, 0], logits.max(dim=1).values, rtol=1e-4, atol=1e-4)


@pytest.mark.slow  # all of them together
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family(name):
    family = FAMILIES[name]
    base = tiny_model(family)
    everything = copy.deepcopy(base)
    model = random_adapter(base, rank_four("attention"), 5)
    assert {".".join(path.split(".")[-2:]) for path in adapted(model)} == set(family.attention.split())
    assert_exact(model, family.bare_head)
    assert_trained_as_collected(model)
    model.config.use_cache = False  # as `load_base` leaves it
    assert_decoded_as_generate_does(model, name not in LEFT_PADDING_COUNTS)
    model = random_adapter(everything, rank_four("all-linear"), 5)
    assert {".".join(path.split(".")[-2:]) for path in adapted(model)} >= set(family.attention.split())
    assert_recomputed_alike(model, assert_exact(model, family.bare_head))


def adapted(model) -> list[str]:
    return sorted({name.partition(".lora_")[0] for name in lora_parameters(model)})


# where the adapter is
def test_attention_is_the_four_projections_of_llama_and_their_names_alone_count():
    base = tiny_model(FAMILIES["llama"])
    named = ["v_proj", "self_attn.q_proj", "k_proj", "o_proj"]
    assert adapted_modules(base, rank_four("attention")) == adapted_modules(base, rank_four(named))
    assert shortest_names(carrying(base, rank_four(named)), base) == ["k_proj", "o_proj", "q_proj", "v_proj"]


def test_names_that_fit_elsewhere_too_are_made_longer():
    base = tiny_model(FAMILIES["gpt2"])
    assert shortest_names(carrying(base, rank_four("attention")), base) == ["attn.c_proj", "c_attn"]
    assert len(carrying(base, rank_four(["c_proj"]))) == 4


@pytest.mark.parametrize(
    ("family", "targets", "said"),
    [
        ("phi3", ["q_proj", "k_proj", "v_proj", "o_proj"], "no linear map 'q_proj' in the layers of Phi3ForCausalLM; write attention"),
        ("llama", ["q_proj", "lm_head"], "no linear map 'lm_head'"),
        ("llama", ["q_proj", "embed_tokens"], "no linear map 'embed_tokens'"),
        ("qwen3_next", ["q_proj", "k_proj", "v_proj", "o_proj"], "nothing matches in model.layers.0, whose linear maps are: linear_attn"),
        ("lfm2", ["in_proj"], "nothing matches in model.layers.1"),
        ("qwen3_moe", ["q_proj", "gate_proj"], "gate_proj is missing in model.layers.0"),
        ("mixtral", ["q_proj", "w1"], "'w1' in the layers of MixtralForCausalLM \\(its experts are fused into three-dimensional tensors"),
        ("gpt_oss", ["gate_up_proj"], r"model.layers.\*.mlp.experts.gate_up_proj, which take no adapter"),
        ("deepseek_v3", ["q_a_proj", "down_proj"], "down_proj cannot have an adapter: PEFT takes its name for the fused experts"),
        ("mamba", ["in_proj", "dt_proj"], "dt_proj cannot have an adapter: the model reads its weight without calling it"),
        ("mamba", ["in_proj", "out_proj"], "out_proj cannot have an adapter: PEFT refuses it"),
    ],
)
def test_an_adapter_that_would_not_be_where_it_is_said_to_be_is_refused(family, targets, said):
    base = tiny_model(FAMILIES[family])
    with pytest.raises(UserError, match=said):
        attach_adapter(base, rank_four(targets), 0)
    assert not any("lora" in name for name, _ in base.named_parameters())


def test_names_for_each_kind_of_layer_go_together():
    base = tiny_model(FAMILIES["lfm2"])
    assert carrying(base, rank_four(["conv.in_proj", "q_proj"])) == ["model.layers.0.conv.in_proj", "model.layers.1.self_attn.q_proj"]


class Experts(nn.Module):
    """A feed-forward part of linear experts; each token goes to one of them, as a router says."""

    def __init__(self, width: int):
        super().__init__()
        self.router = nn.Linear(width, 4, bias=False)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(width, 16), nn.SiLU(), nn.Linear(16, width)) for _ in range(4)])

    def forward(self, hidden):
        flat = hidden.reshape(-1, hidden.shape[-1])
        weight, expert = self.router(flat).softmax(-1).max(-1)
        out = torch.zeros_like(flat)
        for number, each in enumerate(self.experts):
            token = (expert == number).nonzero().squeeze(-1)
            if len(token):
                out = out.index_add(0, token, each(flat[token]) * weight[token, None])
        return out.view(hidden.shape)


def test_linear_experts_have_exact_rows_those_of_examples_without_a_token_for_one_included():
    base = tiny_model(Family("llama", LLAMA))
    torch.manual_seed(0)
    for layer in base.model.layers:
        layer.mlp = Experts(LLAMA["hidden_size"])
    base.eval().requires_grad_(False)
    model = random_adapter(base, rank_four("all-linear"), 5)
    assert sum(".experts." in name for name in adapted(model)) == 16
    engine = assert_exact(model)
    sizes = {name: a * b for name, (a, b) in engine.capture.shapes.items()}
    noted = Noted(Identity(sizes))
    engine.run([Encoded([5, 6], 1)], noted)
    assert sorted(noted.names) == sorted(name for name in sizes)  # Adam's step of a gradient that is zero is none


class Noted(LoraRows):
    """Rows that remember which parameters they were given a gradient of."""

    def start(self, count, device):
        self.names = []
        super().start(count, device)

    def take(self, layer, factors):
        self.names += [layer.name_a, layer.name_b]
        super().take(layer, factors)


def test_projected_gradients_of_transposed_weights_are_exact_too():
    model = random_adapter(tiny_model(FAMILIES["gpt2"]), rank_four("attention"), 5)
    engine, example = Engine(model), some_examples()[2]
    layers = sorted(engine.capture.layers, key=lambda layer: layer.name)
    (found,) = engine.run([example], LograRows(layers, 4, 0)).gradients
    weights = {layer.name: layer.module.get_base_layer().weight for layer in layers}
    gradients, _ = autograd_gradients(model, example, weights)
    expected = []
    for name, gradient in gradients.items():
        whole = gradient.T.double().numpy()
        left, right = (projection_matrix(0, name, side, 4, width) for side, width in zip(("output", "input"), whole.shape, strict=True))
        expected.append((left @ whole @ right.T).ravel())
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-7)
