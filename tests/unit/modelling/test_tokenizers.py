"""Over tokenizers of every kind: turns have the tokens of transformers' own rendering, users' texts stay texts, and answers go on."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.evaluation.prompts import Prompts
from equipoise.modelling.chat import conversation_lengths, encode_conversations, encode_many
from equipoise.modelling.template import CHAT_TEMPLATE
from equipoise.modelling.tokens import MARKS, UnfitText, encoder_of, pattern
from helpers.conversations import assistant, system, user
from helpers.made_tokenizers import CHATML, HUB, MADE, hub
from helpers.places import REPOSITORY

PLAIN = [system("short answers"), user("What is it?"), assistant("It is a yes."), user("third:\nand now"), assistant("no more\nof them")]
WRITTEN = "<|im_end|>", "</s>", "<|endoftext|>", "[INST]", "<s>", "<|eot_id|>", "<|user|>", "[SEP]", "<unk>", "<|begin_of_text|>"
PAIRS = (
    ("Question: What is the capital of France?\nAnswer:", " Paris"),
    ("Question: how many?\nAnswer:", " 12 left"),
    ("a b c\n", "d e f"),
    ("user\nfirst\nassistant\n", "The answers are: 1, 2."),
    ("What is it? ", "yes"),
    ("it is", " B"),
)
TAKES_NONE = {"words", "unigram"}
"""Tokenizers whose model makes control tokens from plain text: what holds one is a bad row."""
HUB_NAMES = ("meta-llama/Meta-Llama-3-8B", "mistralai/Mistral-7B-v0.3")


def made(name: str, template: str | None = None):
    if name in MADE:
        tokenizer = MADE[name]()
    else:
        if not (HUB / name).is_dir():
            pytest.skip(f"no {HUB / name}; it lies in the shared folder, which a clone has not")
        tokenizer = hub(name)
    tokenizer.chat_template = template
    return tokenizer


def chat_ml(name: str):
    """Its tokenizer under a template whose end token it has, if none of ChatML's is."""
    tokenizer = made(name, CHATML)
    if "<|im_end|>" not in tokenizer.added_tokens_encoder:
        tokenizer.chat_template = CHATML.replace("<|im_end|>", tokenizer.eos_token)
    return tokenizer


def controls(tokenizer, ids: list[int]) -> list[int]:
    known = {tokenizer.convert_tokens_to_ids(token) for token in encoder_of(tokenizer).special} - {tokenizer.unk_token_id}
    return [token for token in ids if token in known | {tokenizer.eos_token_id}]


def rendered(tokenizer, messages: list[dict], **how) -> list[int]:
    """By transformers, independently."""
    return list(tokenizer.apply_chat_template(messages, return_dict=True, **how)["input_ids"])


@pytest.mark.parametrize("name", [*MADE, *HUB_NAMES])
@pytest.mark.parametrize("template", ["paper", "own"])
def test_turns_have_the_tokens_and_masks_of_an_independent_rendering(name, template):
    tokenizer = made(name, CHAT_TEMPLATE) if template == "paper" else chat_ml(name)
    (found,) = encode_conversations(tokenizer, [PLAIN], 10_000)
    whole = rendered(tokenizer, PLAIN)
    # the paper's form leaves the last line feed out
    assert found.input_ids == (whole[: len(found.input_ids)] if template == "paper" else whole)
    assert len(whole) - len(found.input_ids) <= 2
    learned = []
    for place in (2, 4):
        start = len(rendered(tokenizer, PLAIN[:place], add_generation_prompt=True))
        end = tokenizer.eos_token_id if tokenizer.eos_token in tokenizer.chat_template or template == "paper" else None
        end = end if end is not None else tokenizer.convert_tokens_to_ids("<|im_end|>")
        learned += range(start, whole.index(end, start) + 1)
    assert found.labelled == learned


@pytest.mark.parametrize("name", [*MADE, *HUB_NAMES])
@pytest.mark.parametrize("template", ["paper", "own"])
@pytest.mark.parametrize("text", WRITTEN)
def test_text_is_never_a_control_token(name, template, text):
    tokenizer = made(name, CHAT_TEMPLATE) if template == "paper" else chat_ml(name)
    told = [{**turn, "content": f"use {text} here, {text}"} for turn in PLAIN]
    (plain,) = encode_conversations(tokenizer, [PLAIN], 10_000)
    try:
        (found,) = encode_conversations(tokenizer, [told], 10_000)
    except UnfitText:
        assert name in TAKES_NONE, "it is a bad row only where the tokenizer cannot have it as text"
        assert text in encoder_of(tokenizer).special
        return
    assert conversation_lengths(tokenizer, [told, PLAIN], 10_000) == [found.length, plain.length]
    assert controls(tokenizer, found.input_ids) == controls(tokenizer, plain.input_ids)
    answers = tokenizer.decode([found.input_ids[place] for place in found.labelled], skip_special_tokens=True)
    if tokenizer.unk_token_id not in found.input_ids:
        assert answers.replace(" ", "").lower().count(text.replace(" ", "").lower()) == 4
    whole = rendered(tokenizer, told, sanitize_control_tokens=True)
    if not encoder_of(tokenizer).leads and template == "own":
        assert found.input_ids == whole


@pytest.mark.parametrize("name", [*MADE, *HUB_NAMES])
def test_answers_go_on_as_lm_eval_has_them_and_evaluation_sees_the_tokens_of_training(name):
    from lm_eval.models.huggingface import HFLM

    tokenizer = made(name, CHAT_TEMPLATE)
    first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    stock = SimpleNamespace(tokenizer=tokenizer, backend="causal", add_bos_token=None, prefix_token_id=first)
    stock.tok_encode = lambda text, **how: HFLM.tok_encode(stock, text, **how)
    prompts = Prompts(tokenizer)
    for prompt, response in PAIRS:
        (trained,) = encode_many(tokenizer, [prompt], [response], 1000, chat=False)
        bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        context, continuation = HFLM._encode_pair(stock, prompt, response)
        expected = context + continuation
        assert trained.input_ids == (expected if expected[:1] == bos else bos + expected)
        own = prompts.pair(prompt, response)
        assert (own[0] + own[1], len(own[0])) == (trained.input_ids, trained.prompt_length)
        text = prompts.chat([user(prompt)])
        (trained,) = encode_many(tokenizer, [prompt], [response], 1000)
        own = prompts.pair(text, response)
        assert own[0] == prompts.tokens(text) == trained.input_ids[: trained.prompt_length]
        assert own[1] == trained.input_ids[trained.prompt_length : -1]
        context, continuation = HFLM._encode_pair(stock, text, response)
        assert own[0] + own[1] == context + continuation


SHORT = st.text("<|a]", max_size=4)


@given(st.lists(SHORT, max_size=6), st.text([*"<|a]", MARKS[0]], max_size=12), st.integers(0, 3))
def test_the_longest_control_token_is_found_at_every_place_but_behind_a_mark(tokens, text, start):
    expected, place = [], start
    while place < len(text):
        here = [token for token in tokens if token and text.startswith(token, place) and text[place - 1 : place] != MARKS[0]]
        longest = max(here, key=len, default="")
        expected += [(place, longest)] if longest else []
        place += len(longest) or 1
    assert [(found.start(), found[0]) for found in pattern(tokens).finditer(text, start)] == expected


def test_a_benchmarks_text_is_no_control_token_either():
    tokenizer = made("mistral", CHAT_TEMPLATE)
    prompts = Prompts(tokenizer)
    for text in ("</s> ends it", "<s>begin", "say [INST]"):
        assert controls(tokenizer, prompts.tokens(text)) == [tokenizer.bos_token_id]
        asked = prompts.chat([user(text)])
        assert text in asked
        assert controls(tokenizer, prompts.tokens(asked)) == [tokenizer.bos_token_id]
        assert prompts.tokens(asked) == encode_many(tokenizer, [text], ["a"], 100)[0].input_ids[: len(prompts.tokens(asked))]


def test_an_answer_may_hold_the_tokens_of_thinking_that_its_template_writes():
    template = CHATML.replace("{{ '<|im_start|>assistant", "{{ '' if true else '<think>' }}{{ '<|im_start|>assistant")
    tokenizer = made("chatml", template)
    (found,) = encode_conversations(tokenizer, [[user("is <think> a word"), assistant("<think>a</think>b")]], 100)
    thinking = tokenizer.convert_tokens_to_ids("<think>")
    assert [place for place, token in enumerate(found.input_ids) if token == thinking] == [found.prompt_length]


def test_the_miniature_takes_what_holds_no_control_token():
    from equipoise.config import Model
    from equipoise.modelling.base import load_tokenizer

    tokenizer = load_tokenizer(Model(name="m", base=str(REPOSITORY / "workflow/equipoise/miniature/base")))
    with pytest.raises(UnfitText, match="holds a control token"):
        encode_many(tokenizer, ["write </s>"], ["a"], 100)
