"""Choices are compared on fp32 logits, whatever the model's number format; otherwise as lm-eval does."""

import pytest
import torch
from torch.nn import functional as F

from equipoise.config import Lora, Model
from equipoise.modelling.base import load_base, load_tokenizer
from helpers.base import random_adapter

REQUESTS = [(("", ""), [1, 6 + i % 7, 9, *([11] * (i % 5))], [7 + i % 11, *([8] * (i % 3))]) for i in range(24)]
CHOICES = [(("", ""), [1, 6 + i % 7, 9, 10 + i // 4], [7 + i % 4]) for i in range(32)]


@pytest.fixture
def language_model(tiny_base):
    from equipoise.evaluation.language_model import LanguageModel

    def made(precision: str, adapted: bool = False) -> LanguageModel:
        settings = Model(name="tiny", base=str(tiny_base))
        model = load_base(settings, precision, "cpu")
        if adapted:
            model = random_adapter(model, Lora(rank=4, alpha=8, dropout=0.0), 3)
        made = LanguageModel(model, load_tokenizer(settings), 5)
        made.model = model
        return made

    return made


def reference(model: torch.nn.Module, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """One sequence by itself: last hidden states in the model's own format, the output layer in fp32."""
    causal = model.get_base_model() if hasattr(model, "peft_config") else model
    with torch.no_grad():
        hidden = causal.model(input_ids=torch.tensor([context + continuation])).last_hidden_state[0, :-1].float()
        scores = F.linear(hidden, causal.lm_head.weight.float()).log_softmax(-1)[-len(continuation) :]
    wanted = torch.tensor(continuation)
    return float(scores.gather(1, wanted[:, None]).sum()), bool((scores.argmax(-1) == wanted).all())


@pytest.mark.parametrize("adapted", [False, True])
def test_in_bf16_they_are_those_of_fp32_logits_from_the_bf16_states(language_model, adapted):
    model = language_model("bf16", adapted)
    for (likelihood, _), (_, context, continuation) in zip(model._loglikelihood_tokens(REQUESTS), REQUESTS, strict=True):
        expected, _ = reference(model.model, context, continuation)
        assert likelihood == pytest.approx(expected, abs=2e-2)  # padding moves the states by bf16's rounding


def test_no_two_choices_tie_that_differ_in_fp32(language_model):
    """On bf16 logits, as lm-eval's own code has them, several of these choices are equal."""
    from lm_eval.models.huggingface import HFLM

    model = language_model("bf16")

    def ties(answers: list) -> int:
        groups = [[likelihood for likelihood, _ in answers[first : first + 4]] for first in range(0, len(answers), 4)]
        return sum(len(group) - len(set(group)) for group in groups)

    assert ties(model._loglikelihood_tokens(CHOICES)) == 0
    assert ties(HFLM._loglikelihood_tokens(model, CHOICES, disable_tqdm=True)) > 0


@pytest.mark.parametrize("adapted", [False, True])
def test_in_fp32_they_are_lm_evals_own(language_model, adapted):
    from lm_eval.models.huggingface import HFLM

    model = language_model("fp32", adapted)
    for requests in (REQUESTS, CHOICES):
        ours, theirs = model._loglikelihood_tokens(requests), HFLM._loglikelihood_tokens(model, requests, disable_tqdm=True)
        assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
        assert [likelihood for likelihood, _ in ours] == pytest.approx([likelihood for likelihood, _ in theirs], abs=1e-5)


def test_contexts_too_long_lose_their_beginning(language_model):
    model = language_model("fp32")
    model._max_length = 6
    (likelihood, _), *_ = model._loglikelihood_tokens([(("", ""), [1, *([9] * 20)], [7])])
    assert likelihood == pytest.approx(reference(model.model, [9] * 6, [7])[0], abs=1e-5)


def test_the_output_layer_is_as_before_afterwards(language_model):
    model = language_model("bf16")
    model._loglikelihood_tokens(CHOICES[:4])
    assert "forward" not in model.model.lm_head.__dict__
    with torch.no_grad():
        assert model.model(torch.tensor([[1, 7]])).logits.dtype == torch.bfloat16
