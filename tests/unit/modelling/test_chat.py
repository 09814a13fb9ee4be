"""Tokens of conversations: each turn under its role, an end after every answer, a loss on answers alone; one turn's tokens as ever."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from equipoise.config import Model
from equipoise.conversation.record import message_text
from equipoise.data.encoding import encode_rows, examples_digest
from equipoise.errors import UserError
from equipoise.modelling.base import load_tokenizer
from equipoise.modelling.chat import IGNORED_LABEL, Encoded, conversation_lengths, encode_conversations, encode_many, pad
from helpers.conversations import assistant, system, user
from helpers.places import REPOSITORY

CALL = [{"type": "function", "function": {"name": "add", "arguments": {"y": 1}}}]
LONG = [
    system("be brief"),
    user("what is\n1 + 1?"),
    assistant(None, tool_calls=CALL),
    {"role": "tool", "content": "2", "name": "add"},
    assistant("it is 2"),
    assistant("sure"),
    user("thanks  "),
    assistant(" you are welcome"),
]
ANSWERS = [2, 4, 5, 7]


def save_bytes_tokenizer(folder: Path) -> Path:
    """A tokenizer of single bytes, as a base's folder has it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["bytes", "miniature"])
def tokenizer(request, tmp_path_factory):
    miniature = REPOSITORY / "workflow/equipoise/miniature/base"
    base = miniature if request.param == "miniature" else save_bytes_tokenizer(tmp_path_factory.mktemp("base"))
    return load_tokenizer(Model(name="m", base=str(base)))


def ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def written_out(tokenizer, messages: list[dict], learned: list[int]) -> tuple[list[int], list[bool]]:
    """Tokens, and whether each has a loss: the format as the method states it, piece by piece."""
    tokens, loss, before = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else [], [], ""
    loss += [False] * len(tokens)
    for place, message in enumerate(messages):
        before += f"<|{message['role']}|>\n"
        if message["role"] != "assistant":
            before += message_text(message) + "\n"
            continue
        answer = [*ids(tokenizer, message_text(message)), tokenizer.eos_token_id]
        piece = ids(tokenizer, before)
        tokens, loss = tokens + piece + answer, loss + [False] * len(piece) + [place in learned] * len(answer)
        before = "\n"
    return tokens, loss


def with_loss(example: Encoded) -> list[bool]:
    labels = pad([example], 0)["labels"][0].tolist()
    assert [label for label in labels if label != IGNORED_LABEL] == [example.input_ids[place] for place in example.labelled]
    return [label != IGNORED_LABEL for label in labels]


def test_one_turn_has_the_tokens_it_always_had(tokenizer):
    texts = [("a b", "c"), (" x\n", ""), ("", "d e f")]
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    expected = []
    for prompt, response in texts:
        prefix = bos + ids(tokenizer, f"<|user|>\n{prompt}\n<|assistant|>\n")
        expected.append(Encoded([*prefix, *ids(tokenizer, response), tokenizer.eos_token_id], len(prefix)))
    assert encode_many(tokenizer, *zip(*texts, strict=True), 1000) == expected
    assert encode_conversations(tokenizer, [[user(p), assistant(r)] for p, r in texts], 1000) == expected
    bare = [Encoded(bos + ids(tokenizer, p) + ids(tokenizer, r), len(bos) + len(ids(tokenizer, p))) for p, r in texts]
    assert encode_many(tokenizer, *zip(*texts, strict=True), 1000, chat=False) == bare


def test_turns_stand_under_their_roles_and_each_answer_ends_and_is_learned(tokenizer):
    (found,) = encode_conversations(tokenizer, [LONG], 10_000)
    tokens, loss = written_out(tokenizer, LONG, ANSWERS)
    assert found.input_ids == tokens
    assert with_loss(found) == loss
    assert found.completion_tokens == sum(loss)
    assert found.input_ids.count(tokenizer.eos_token_id) == 4


def test_the_last_turn_alone_is_learned_on_request_and_turns_may_say_that_they_are_not(tokenizer):
    (last,) = encode_conversations(tokenizer, [LONG], 10_000, last_turn=True)
    assert with_loss(last) == written_out(tokenizer, LONG, [7])[1]
    assert last.gaps == ()
    marked = [dict(message) for message in LONG]
    marked[4]["weight"], marked[7]["train"] = 0, False
    (found,) = encode_conversations(tokenizer, [marked], 10_000)
    assert (found.input_ids, with_loss(found)) == written_out(tokenizer, LONG, [2, 5])
    assert found.completion_tokens == len(found.labelled) == sum(with_loss(found))
    nothing = [user("a"), assistant("b", train=False)]
    (found,) = encode_conversations(tokenizer, [nothing], 10_000)
    assert found.completion_tokens == 0


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 200), last_turn=st.booleans())
def test_cutting_keeps_the_first_tokens_and_their_loss(tokenizer, length, last_turn):
    tokens, loss = written_out(tokenizer, LONG, [7] if last_turn else ANSWERS)
    (found,) = encode_conversations(tokenizer, [LONG], length, last_turn)
    assert found.input_ids == tokens[:length]
    assert with_loss(found) == loss[:length]
    assert found.completion_tokens == sum(loss[:length])
    assert conversation_lengths(tokenizer, [LONG], length, last_turn) == [(len(tokens[:length]), sum(loss[:length]), found.cut)]


def test_rows_with_messages_are_encoded_by_them_and_the_digest_of_one_turn_is_as_ever(tokenizer):
    rows = [
        {"prompt": "a", "response": "b", "messages": None, "chat": True},
        {"prompt": "a", "response": "b", "messages": '[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]'},
        {"prompt": "x", "response": "y", "messages": '[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]', "chat": False},
    ]
    plain, turns, bare = encode_rows(rows, tokenizer, 100)
    assert plain == turns == encode_many(tokenizer, ["a"], ["b"], 100)[0]
    assert bare == encode_many(tokenizer, ["x"], ["y"], 100, chat=False)[0]
    total = hashlib.sha256()
    for example in (plain, bare):
        total.update(np.array([len(example.input_ids), example.prompt_length, *example.input_ids], "<i8").tobytes())
    assert examples_digest([plain, bare]) == total.hexdigest()
    (whole,) = encode_conversations(tokenizer, [LONG], 10_000)
    assert len({examples_digest([Encoded(whole.input_ids, whole.prompt_length, gaps)]) for gaps in (whole.gaps, whole.gaps[1:], ())}) == 3


def test_a_template_that_changes_earlier_turns_is_refused(tokenizer, monkeypatch):
    template = "{% for m in messages %}{{ '<' + m['role'] + (loop.last|string) + '>' + m['content'] }}{% endfor %}"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(UserError, match="changes earlier turns"):
        encode_conversations(tokenizer, [LONG], 100)
