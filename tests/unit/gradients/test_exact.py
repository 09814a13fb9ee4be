"""Batched per-example gradients against one example at a time through unmodified PEFT and autograd, in fp32."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from equipoise.config import Lora
from equipoise.errors import UserError
from equipoise.gradients.capture import Capture
from equipoise.gradients.engine import Engine
from equipoise.gradients.loop import run_or_halve
from equipoise.gradients.projection import Identity, Sketch
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import lora_parameters, saved_name
from equipoise.modelling.chat import Encoded, pad
from helpers.base import SIZES, random_adapter

VOCABULARY = 97
LONGEST = 24
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def tiny(architecture="llama", targets=("q_proj", "v_proj", "down_proj"), **changes):
    torch.manual_seed(3)
    config = AutoConfig.for_model(architecture, vocab_size=VOCABULARY, max_position_embeddings=64, **(SIZES | changes))
    base = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval().requires_grad_(False)
    return random_adapter(base, Lora(rank=4, alpha=8, target_modules=list(targets)), 5)


def some_examples(seed=0, lengths=((1, 0), (2, 1), (3, 2), (9, 0), (LONGEST, 20), (LONGEST, 1), (13, 5))):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(length, prompt) for length, prompt in lengths if length > max(prompt, 1)]
    return [Encoded(torch.randint(0, VOCABULARY, (length,), generator=generator).tolist(), prompt) for length, prompt in shapes]


def identity_rows(engine):
    return LoraRows(Identity({name: a * b for name, (a, b) in engine.capture.shapes.items()}))


def one_at_a_time(model, examples):
    parameters = list(lora_parameters(model).values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    rows, losses = [], []
    for example in examples:
        batch = pad([example], 0)
        loss = model(**batch).loss
        rows.append(torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, parameters)]).double().numpy())
        losses.append(loss.item())
    for parameter in parameters:
        parameter.requires_grad_(False)
    return np.stack(rows), np.array(losses)


def assert_exact(model, examples, checkpointing=False):
    expected, losses = one_at_a_time(model, examples)
    engine = Engine(model, activation_checkpointing=checkpointing)
    found = engine.run(examples, identity_rows(engine))
    error = np.linalg.norm(found.gradients - expected, axis=1)
    # the second term: where the true gradient is zero (a query with one key), both sides are rounding noise
    assert (error <= 1e-5 * np.linalg.norm(expected, axis=1) + 1e-8).all()
    np.testing.assert_allclose(found.loss, losses, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [False, True])
def test_rows_equal_autograd_of_one_example_at_a_time(architecture, tied):
    assert_exact(tiny(architecture, ALL_LINEAR, tie_word_embeddings=tied), some_examples())


def test_rows_equal_autograd_with_full_attention_heads_biases_and_rslora():
    assert_exact(tiny(num_key_value_heads=4, attention_bias=True, mlp_bias=True), some_examples())
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=VOCABULARY, **SIZES)).eval().requires_grad_(False)
    options = LoraConfig(r=4, lora_alpha=3, use_rslora=True, rank_pattern={"v_proj": 2}, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(base, options).eval()
    for parameter in lora_parameters(model).values():
        torch.nn.init.normal_(parameter, std=0.1)
    assert_exact(model, some_examples())


def test_rows_of_several_answers_equal_autograd_over_their_tokens_alone():
    model, (plain,) = tiny(), some_examples(lengths=[(LONGEST, 5)])
    turns = Encoded(plain.input_ids, 5, ((8, 11), (13, 20)))
    learned = [place for place in range(LONGEST) if place in (5, 6, 7, 11, 12, 20, 21, 22, 23)]
    parameters = list(lora_parameters(model).values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    logits = model(input_ids=torch.tensor([plain.input_ids])).logits[0]
    loss = torch.stack([-logits[place - 1].log_softmax(-1)[plain.input_ids[place]] for place in learned]).mean()
    expected = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, parameters)]).double().numpy()
    for parameter in parameters:
        parameter.requires_grad_(False)
    engine = Engine(model)
    found = engine.run([plain, turns], identity_rows(engine))
    assert np.linalg.norm(found.gradients[1] - expected) <= 1e-5 * np.linalg.norm(expected)
    assert found.loss[1] == pytest.approx(loss.item(), rel=1e-5)
    assert_exact(model, [turns, plain])


def test_rows_equal_autograd_within_a_sliding_window():
    assert_exact(tiny("mistral", sliding_window=4), some_examples())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activation_checkpointing_changes_no_bit(checkpointing):
    model, examples = tiny(), some_examples()
    engine = Engine(model)
    expected = engine.run(examples, identity_rows(engine)).gradients
    if checkpointing:
        engine = Engine(model, activation_checkpointing=True)
    calls = []
    layer = model.get_base_model().model.layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    assert engine.run(examples, identity_rows(engine)).gradients.tobytes() == expected.tobytes()
    assert len(calls) == (2 if checkpointing else 1)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, LONGEST), st.integers(0, LONGEST - 1)), min_size=1, max_size=6),
    st.sets(st.sampled_from(ALL_LINEAR), min_size=1),
)
def test_rows_equal_autograd_for_any_lengths_and_target_modules(shapes, targets):
    lengths = [(length, min(prompt, length - 1)) for length, prompt in shapes]
    assert_exact(tiny(targets=sorted(targets)), some_examples(7, lengths))


def test_no_weight_is_given_a_gradient_and_the_model_is_left_as_it_was():
    model, examples = tiny(), some_examples()
    before = model(**pad(examples[-1:], 0)).logits
    engine = Engine(model)
    engine.run(examples, identity_rows(engine))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(model(**pad(examples[-1:], 0)).logits, before)


def test_gradients_that_are_not_finite_stay_in_their_own_row():
    model = tiny()
    with torch.no_grad():
        model.get_base_model().get_input_embeddings().weight[VOCABULARY - 1] = float("inf")
    examples = [Encoded([1, 2, 3, 4], 2), Encoded([1, VOCABULARY - 1, 3], 1), Encoded([5, 6], 1)]
    engine = Engine(model)
    rows = engine.run(examples, identity_rows(engine)).gradients
    assert np.isfinite(rows).all(axis=1).tolist() == [True, False, True]


def test_bf16_rows_point_the_same_way():
    model, examples = tiny(), some_examples()
    expected, _ = one_at_a_time(model, examples)
    engine = Engine(model.to(torch.bfloat16))
    found = engine.run(examples, identity_rows(engine)).gradients
    cosine = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.995


def test_neither_the_adapters_name_nor_a_wrappers_prefix_changes_a_bit():
    model, examples = tiny(), some_examples()
    other = get_peft_model(
        copy.deepcopy(model.unload()), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"]), adapter_name="other"
    ).eval()
    model = tiny(targets=["q_proj"])
    for name, parameter in lora_parameters(other, "other").items():
        parameter.data.copy_(lora_parameters(model)[name])
    rows = []
    for one in (model, other):
        engine = Engine(one)
        sketch = Sketch({name: a * b for name, (a, b) in engine.capture.shapes.items()}, 16, 0)
        rows.append(engine.run(examples, LoraRows(sketch)).gradients.tobytes())
    assert rows[0] == rows[1]
    assert saved_name("module._orig_mod.base.q_proj.lora_A.other.weight", "other") == "base.q_proj.lora_A.weight"


class RunsOutOfMemory(LoraRows):
    """Rows of at most two examples; more do not fit."""

    def start(self, count, device):
        if count > self.fits:
            raise self.error
        super().start(count, device)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_gives_the_same_rows(capsys, error):
    model, examples = tiny(), some_examples()
    engine = Engine(model)
    whole = engine.run(examples, identity_rows(engine), ["last_token"])
    maker = RunsOutOfMemory(identity_rows(engine)._projector)
    maker.fits, maker.error = 2, error
    found, halvings = run_or_halve(engine, examples, maker, ["last_token"])
    assert halvings >= 3
    assert "halving it" in capsys.readouterr().err
    error = np.linalg.norm(found.gradients - whole.gradients, axis=1) / np.linalg.norm(whole.gradients, axis=1)
    assert error.max() <= 1e-5
    np.testing.assert_allclose(found.states["last_token"], whole.states["last_token"], rtol=1e-4, atol=1e-5)
    maker.fits = 0
    with pytest.raises(UserError, match=r"one example of .* tokens does not fit"):
        run_or_halve(engine, examples, maker, [])
    maker.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run_or_halve(engine, examples, maker, [])


def adapted(**options):
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=VOCABULARY, **SIZES)).eval().requires_grad_(False)
    return get_peft_model(base, LoraConfig(r=4, lora_alpha=8, **{"target_modules": ["q_proj"]} | options)).eval()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True, "attention_bias": True}, "lora_bias"),
        ({"bias": "all"}, "bias"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head is the output layer"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens is Embedding"),
        ({"modules_to_save": ["norm"]}, "modules_to_save"),
    ],
)
def test_adapters_whose_gradient_is_not_known_are_refused_by_name(options, named):
    if options.pop("attention_bias", False):
        torch.manual_seed(3)
        shape = AutoConfig.for_model("llama", vocab_size=VOCABULARY, attention_bias=True, **SIZES)
        model = get_peft_model(AutoModelForCausalLM.from_config(shape), LoraConfig(r=4, target_modules=["q_proj"], **options)).eval()
    else:
        model = adapted(**options)
    with pytest.raises(UserError, match=named):
        Engine(model)


def test_merged_adapters_other_methods_and_dropout_are_refused():
    from peft import IA3Config

    merged = adapted()
    merged.merge_adapter()
    with pytest.raises(UserError, match="merged, disabled or inactive"):
        Engine(merged)
    dropped = adapted(lora_dropout=0.1)
    dropped.train()
    with pytest.raises(UserError, match=r"dropout .* is on"):
        Engine(dropped)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=VOCABULARY, **SIZES))
    with pytest.raises(UserError, match="kind IA3 is not supported"):
        Engine(get_peft_model(base, IA3Config(target_modules=["q_proj"], feedforward_modules=[])).eval())


def test_a_layer_that_no_token_came_to_hands_on_zeros_of_every_example_like_one_token():
    capture, taken = Capture(tiny()), []
    capture.start(3, lambda layer, factors: taken.append((layer, factors)))
    capture.finish()
    assert [layer.name for layer, _ in taken] == [layer.name for layer in capture.layers]
    for layer, factors in taken:
        (rank, inputs), outputs = layer.a.shape, layer.b.shape[0]
        parts = factors.x, factors.hidden, factors.g, factors.g_hidden
        assert [part.shape for part in parts] == [(3, 1, inputs), (3, 1, rank), (3, 1, outputs), (3, 1, rank)]
        assert not any(part.any() for part in parts)
