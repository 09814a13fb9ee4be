"""A real language model goes through the door: its tokens, its answers, and exact gradients on it."""

import numpy as np
import pytest
from lm_eval.api.instance import Instance

from equipoise.checking.check_base import examine
from equipoise.config import Lora, Model
from equipoise.config_file import parse_config
from equipoise.evaluation.language_model import LanguageModel
from equipoise.gradients.engine import Engine
from equipoise.gradients.estimator import autograd_gradients
from equipoise.gradients.projection import Identity
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import Encoded, encode_conversations
from equipoise.modelling.template import CHAT_TEMPLATE
from helpers.base import random_adapter
from helpers.real_base import real_base

pytestmark = pytest.mark.slow

# as the published tokenizer of SmolLM2-135M-Instruct gives them
TOKENS = {
    "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face": [
        *(9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182),
    ],
    "user\nWhat is the capital of France?": [4093, 198, 1780, 314, 260, 3575, 282, 4649, 47],
    "The year 2024 had 365 days; 12 months.": [504, 713, 216, 34, 32, 34, 36, 761, 216, 35, 38, 37, 2009, 43, 216, 33, 34, 2704, 30],
    "  leading and   multiple   spaces  ": [216, 2899, 284, 256, 2701, 256, 5600, 256],
    "two  5": [11355, 256, 37],  # digits are split off first, so that both spaces stay together
    "def f(n):\n    return n+1\n": [1604, 275, 24, 94, 727, 472, 1003, 304, 27, 33, 198],
    "Hello, 世界!": [19556, 28, 216, 7906, 240, 178, 239, 230, 17],
    "<|im_start|>assistant\n": [1, 520, 9531, 198],
    "<|im_end|>\n<|endoftext|><repo_name><file_sep><empty_output>": [2, 198, 0, 3, 5, 16],
}
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ROWS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Add 12 and 30.", "12 + 30 = 42."),
    ("Write a line of Python that prints a word.", '```python\nprint("word")\n```'),
)


@pytest.fixture(scope="module")
def folder():
    return real_base()


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_its_tokens_are_the_published_ones(tokenizer):
    assert {text: tokenizer(text, add_special_tokens=False).input_ids for text in TOKENS} == TOKENS
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)) == (1, 2, 49152)


def test_it_answers_under_its_own_template_and_its_gradients_are_exact(folder, tokenizer):
    import torch

    base = load_base(Model(name="smollm2", base=str(folder)), "fp32", "cpu")
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        answer = base.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
    model = random_adapter(base, Lora(rank=2, alpha=4, dropout=0.0), 5)
    examples = []
    for prompt, response in ROWS:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        whole = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
        before = len(tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=True)["input_ids"])
        examples.append(Encoded(list(whole), before))
    engine = Engine(model)
    found = engine.run(examples, LoraRows(Identity({name: a * b for name, (a, b) in engine.capture.shapes.items()})))
    for row, example in enumerate(examples):
        gradients, loss = autograd_gradients(model, example, lora_parameters(model))
        expected = np.concatenate([gradient.double().numpy().ravel() for gradient in gradients.values()])
        cosine = expected @ found.gradients[row] / np.linalg.norm(expected) / np.linalg.norm(found.gradients[row])
        assert cosine >= 0.99999
        assert found.loss[row] == pytest.approx(loss, rel=1e-4)


def test_the_door_is_open_to_it(folder, tiny_values):
    tiny_values["model"] |= {"base": str(folder), "max_length": 128}
    found = examine(parse_config(tiny_values))
    assert found["adapted"] == {f"model.layers.*.self_attn.{name}_proj": 30 for name in "kqvo"}
    assert (found["model"], found["positions"], found["tried"]) == ("LlamaForCausalLM", 8192, True)


@pytest.mark.parametrize("choice", ["own", "paper"])
def test_its_turns_have_the_tokens_of_apply_chat_template(folder, tokenizer, choice):
    loaded = load_tokenizer(Model(name="smollm2", base=str(folder), chat_template=choice))
    independent = CHAT_TEMPLATE if choice == "paper" else tokenizer.chat_template
    turns = [{"role": role, "content": text} for pair in ROWS for role, text in zip(("user", "assistant"), pair, strict=True)]
    for messages in (turns[:2], turns, [{"role": "system", "content": "Be brief: 12  words."}, *turns]):
        whole = list(tokenizer.apply_chat_template(messages, chat_template=independent, return_dict=True)["input_ids"])
        (found,) = encode_conversations(loaded, [messages], 10_000)
        # the paper's form leaves the line feed behind the last end out
        assert found.input_ids == (whole if choice == "own" else whole[: len(found.input_ids)])
        assert len(whole) - len(found.input_ids) == (choice == "paper")
        learned = []
        for place in (place for place, turn in enumerate(messages) if turn["role"] == "assistant"):
            how = {"chat_template": independent, "add_generation_prompt": True, "return_dict": True}
            start = len(tokenizer.apply_chat_template(messages[:place], **how)["input_ids"])
            learned += range(start, whole.index(tokenizer.eos_token_id, start) + 1)
        assert found.labelled == learned


def test_it_is_asked_under_its_own_template_and_told_under_the_papers(folder, tiny_values, capsys):
    model = Model(name="smollm2", base=str(folder), chat_template="own")
    language_model = LanguageModel(load_base(model, "fp32", "cpu"), load_tokenizer(model), 1)
    request = (language_model.apply_chat_template(QUESTION), {"until": [], "max_gen_toks": 12, "do_sample": False})
    assert language_model.generate_until([Instance("generate_until", {}, request, 0)]) == ["The capital of France is Paris."]
    tiny_values["model"] |= {"base": str(folder), "max_length": 128}
    assert examine(parse_config(tiny_values))["foreign_template"] is True
    assert "has a chat template of its own, and model.chat_template is paper" in capsys.readouterr().err
    tiny_values["model"]["chat_template"] = "own"
    assert examine(parse_config(tiny_values))["foreign_template"] is False
    assert "chat template" not in capsys.readouterr().err
