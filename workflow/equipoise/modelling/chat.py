"""Chat format, tokenisation and masking: one place, so that training, gradients and evaluation see the same tokens.

Format: every turn as `<|role|>\\n{content}\\n`, an assistant's as `<|assistant|>\\n{content}{eos}\\n`, the last line feed left out; loss on
content and eos of assistant turns alone. The text between two contents is tokenised apart from them and concatenated; BOS appears exactly
once where the tokenizer has one (method: target training and evaluation).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from equipoise.conversation.record import Message, message_text
from equipoise.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED_LABEL = -100

CHAT_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% else %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Encoded:
    """Tokens of one example. The first `prompt_length` carry no loss; the later ones do, but for `gaps`, each [start, stop)."""

    input_ids: list[int]
    prompt_length: int
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def labelled(self) -> list[int]:
        """Positions of the tokens with a loss. The first token of a sequence has none: nothing predicts it."""
        return [*chain(*self._spans())]

    @property
    def completion_tokens(self) -> int:
        """Number of tokens with a loss."""
        return sum(map(len, self._spans()))

    def _spans(self) -> list[range]:
        edges = [max(self.prompt_length, 1), *chain(*self.gaps), len(self.input_ids)]
        return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def chat_prefix(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """The text before a response in chat form, BOS included where the tokenizer has one."""
    return tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)


def encode_many(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], responses: Sequence[str], max_length: int, chat: bool = True
) -> list[Encoded]:
    """Tokenises examples of a prompt and a response, cutting each to `max_length` tokens at the end.

    chat: chat form with eos after the response; otherwise BOS + prompt + response as they are (benchmarks evaluated without template).
    """
    texts = zip(prompts, responses, strict=True)
    if chat:
        turns = [[{"role": "user", "content": prompt}, {"role": "assistant", "content": response}] for prompt, response in texts]
        return encode_conversations(tokenizer, turns, max_length)
    opening = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return _encode(tokenizer, [[_Piece(prompt, False), _Piece(response, True)] for prompt, response in texts], max_length, opening, [])


def encode_conversations(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Sequence[Message]], max_length: int, last_turn: bool = False
) -> list[Encoded]:
    """Tokenises conversations, cutting each to `max_length` tokens at the end.

    last_turn: loss on the last assistant turn alone; otherwise on all, but for those whose `train` is false or `weight` 0. Raises
    `UserError` for a template under which a turn changes what stands before it.
    """
    pieces = [list(_pieces(tokenizer, messages, last_turn)) for messages in conversations]
    return _encode(tokenizer, pieces, max_length, [], [tokenizer.eos_token_id])


@dataclass(frozen=True)
class _Piece:
    """A text that is tokenised by itself: the content of an assistant turn, or what stands before it. learned: with a loss."""

    text: str
    learned: bool


def _pieces(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], last_turn: bool) -> Iterator[_Piece]:
    """What stands before an assistant turn's content, and that, in turn."""
    turns = [{"role": message["role"], "content": message_text(message)} for message in messages]
    done = ""
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = tokenizer.apply_chat_template(turns[:place], tokenize=False, add_generation_prompt=True)
        if not before.startswith(done):
            raise UserError("the chat template changes earlier turns when others follow, so that their tokens cannot be located")
        content = turns[place]["content"]
        wanted = message.get("train") is not False and message.get("weight") != 0
        yield _Piece(before.removeprefix(done), False)
        yield _Piece(content, wanted and (not last_turn or place == len(turns) - 1))
        done = before + content + tokenizer.eos_token


def _encode(
    tokenizer: "PreTrainedTokenizerBase", rows: list[list[_Piece]], max_length: int, before: list[int], after: list[int]
) -> list[Encoded]:
    """Rows of pieces as tokens: those of `before` open a row, those of `after` end every second piece, an answer."""
    texts = [piece.text for row in rows for piece in row]
    tokens = iter(tokenizer(texts, add_special_tokens=False).input_ids if texts else [])
    encoded = []
    for row in rows:
        ids, spans = list(before), []
        for number, piece in enumerate(row):
            start = len(ids)
            ids += next(tokens) + (after if number % 2 else [])
            if piece.learned:
                spans.append((min(start, max_length), min(len(ids), max_length)))
        ids = ids[:max_length]
        ends = [(0, 0), *spans, (len(ids), len(ids))]
        first, *gaps = [(stop, start) for (_, stop), (start, _) in pairwise(ends)]
        encoded.append(Encoded(ids, first[1], tuple(gap for gap in gaps if gap[0] < gap[1])))
    return encoded


def evaluation_tokens(tokenizer: "PreTrainedTokenizerBase", text: str, special: bool) -> list[int]:
    """Tokens of a text as training sees them: with `special`, BOS exactly once where the tokenizer has one; nothing else added."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    bos = tokenizer.bos_token_id
    return [bos, *ids] if special and bos is not None and not text.startswith(tokenizer.bos_token) else ids


def pad(examples: Sequence[Encoded], pad_token: int) -> dict[str, "torch.Tensor"]:
    """Right-pads examples to a batch, each int64 [n, longest]: `input_ids`, `attention_mask`, `labels` (`IGNORED_LABEL` without a loss)."""
    import torch

    longest = max(len(example.input_ids) for example in examples)
    ids = torch.full((len(examples), longest), pad_token, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED_LABEL)
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        ids[row, :length] = torch.tensor(example.input_ids)
        mask[row, :length] = 1
        labels[row, example.prompt_length : length] = ids[row, example.prompt_length : length]
        for start, stop in example.gaps:
            labels[row, start:stop] = IGNORED_LABEL
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pad_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The token that fills batches; it is masked, so any will do where the tokenizer names none."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
