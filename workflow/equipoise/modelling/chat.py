"""Tokenisation and masking: one place, so that training, gradients and evaluation see the same tokens.

A conversation is rendered by the chat template (`modelling.template`); each answer is tokenised apart from what stands before it, as it is
when it is generated, and its tokens up to its end token have a loss. Without a template BOS, prompt and response follow each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from equipoise.conversation.record import Message
from equipoise.modelling.template import Answer, template_of
from equipoise.modelling.tokens import Piece, encoder_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED_LABEL = -100


class Length(NamedTuple):
    """Of an example: its tokens, those of them with a loss, and whether it is cut before its last end token."""

    tokens: int
    completion: int
    cut: bool


@dataclass(frozen=True)
class Encoded:
    """Tokens of one example. The first `prompt_length` carry no loss; the later ones do, but for `gaps`, each [start, stop)."""

    input_ids: list[int]
    prompt_length: int
    gaps: tuple[tuple[int, int], ...] = ()
    cut: bool = field(default=False, compare=False)
    """Whether the last end token that was to have a loss is cut off."""

    @property
    def labelled(self) -> list[int]:
        """Positions of the tokens with a loss. The first token of a sequence has none: nothing predicts it."""
        return [*chain(*self._spans())]

    @property
    def completion_tokens(self) -> int:
        """Number of tokens with a loss."""
        return sum(map(len, self._spans()))

    @property
    def length(self) -> Length:
        """What is counted of it."""
        return Length(len(self.input_ids), self.completion_tokens, self.cut)

    def loses_its_end(self, max_length: int) -> bool:
        """Whether it is cut before its last end token with a loss, or would be at `max_length` tokens."""
        return self.cut or any(span.stop > max_length for span in self._spans() if span)

    def _spans(self) -> list[range]:
        edges = [max(self.prompt_length, 1), *chain(*self.gaps), len(self.input_ids)]
        return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def encode_many(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], responses: Sequence[str], max_length: int, chat: bool = True
) -> list[Encoded]:
    """Tokenises examples of a prompt and a response, cutting each to `max_length` tokens at the end.

    chat: under the chat template; otherwise BOS + prompt + response as they are (benchmarks evaluated without template).
    """
    texts = list(zip(prompts, responses, strict=True))
    if chat:
        turns = [[{"role": "user", "content": prompt}, {"role": "assistant", "content": response}] for prompt, response in texts]
        return encode_conversations(tokenizer, turns, max_length)
    return [
        _cut([*before, *after], [(len(before), len(before) + len(after))], max_length) for before, after in bare_pairs(tokenizer, texts)
    ]


def encode_conversations(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Sequence[Message]],
    max_length: int,
    last_turn: bool = False,
    tools: Sequence[list[dict[str, Any]] | None] | None = None,
) -> list[Encoded]:
    """Tokenises conversations under the chat template, cutting each to `max_length` tokens at the end.

    last_turn: loss on the last assistant turn alone; otherwise on all, but for those whose `train` is false or `weight` 0. tools: those
    that each conversation may call. Raises `UnfitText` for what the template or the tokenizer cannot take.
    """
    encoder, cut = encoder_of(tokenizer), _answers(tokenizer, conversations, last_turn, tools)
    answers = [answer for row, _ in cut for answer in row]
    before = encoder.encode([answer.before for answer in answers])
    texts = encoder.go_on([answer.text for answer in answers], [answer.before for answer in answers], before)
    tokens = zip(answers, before, texts, strict=True)
    encoded = []
    for (row, _), tail in zip(cut, encoder.encode([tail for _, tail in cut]), strict=True):
        ids: list[int] = []
        spans = []
        for answer, opening, text in islice(tokens, len(row)):
            start = len(ids) + len(opening)
            ids += [*opening, *text, tokenizer.convert_tokens_to_ids(answer.end)]
            if answer.learned:
                spans.append((start, len(ids)))
        encoded.append(_cut([*ids, *tail], spans, max_length))
    return encoded


def conversation_lengths(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Sequence[Message]],
    max_length: int,
    last_turn: bool = False,
    tools: Sequence[list[dict[str, Any]] | None] | None = None,
) -> list[Length]:
    """The lengths of what `encode_conversations` gives, without making lists of tokens, which takes a tenth of its time."""
    encoder = encoder_of(tokenizer)
    if encoder.leads:  # where an answer's tokens begin is found by comparing tokens
        return [each.length for each in encode_conversations(tokenizer, conversations, max_length, last_turn, tools)]
    cut = _answers(tokenizer, conversations, last_turn, tools)
    answers = [answer for row, _ in cut for answer in row]
    pieces = [*(answer.before for answer in answers), *(answer.text for answer in answers), *(tail for _, tail in cut)]
    sizes, n = encoder.lengths(pieces), len(answers)
    tokens = zip(answers, sizes[:n], sizes[n : 2 * n], strict=True)
    found = []
    for (row, _), tail in zip(cut, sizes[2 * n :], strict=True):
        stop, spans = 0, []
        for answer, opening, text in islice(tokens, len(row)):
            start = stop + opening
            stop = start + text + 1
            if answer.learned:
                spans.append((max(start, 1), stop))  # the first token of a sequence has no loss
        completion = sum(min(stop, max_length) - min(start, max_length) for start, stop in spans)
        found.append(Length(min(stop + tail, max_length), completion, _is_cut(spans, max_length)))
    return found


def _answers(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Sequence[Message]],
    last_turn: bool,
    tools: Sequence[list[dict[str, Any]] | None] | None,
) -> list[tuple[list[Answer], Piece]]:
    template = template_of(tokenizer)
    given = tools or [None] * len(conversations)
    return [template.answers(messages, known, last_turn) for messages, known in zip(conversations, given, strict=True)]


def _cut(ids: list[int], learned: list[tuple[int, int]], max_length: int) -> Encoded:
    """The first `max_length` tokens of an example. learned: where those with a loss stand, each [start, stop)."""
    is_cut = _is_cut(learned, max_length)
    ids, spans = ids[:max_length], [(min(start, max_length), min(stop, max_length)) for start, stop in learned]
    ends = [(0, 0), *spans, (len(ids), len(ids))]
    first, *gaps = [(stop, start) for (_, stop), (start, _) in pairwise(ends)]
    return Encoded(ids, first[1], tuple(gap for gap in gaps if gap[0] < gap[1]), is_cut)


def _is_cut(learned: list[tuple[int, int]], max_length: int) -> bool:
    return bool(learned) and learned[-1][1] > max_length


def bare_pairs(tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    """Tokens of prompts, BOS first where the tokenizer has one, and of what follows them, outside of any template.

    Spaces between the two belong to what follows, as in lm-eval: a tokenizer has them in one token with the word.
    """
    encoder = encoder_of(tokenizer)
    opening = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    moved = [(kept, prompt[len(kept) :] + text) if (kept := prompt.rstrip(" ")) else (prompt, text) for prompt, text in pairs]
    before, after = ([encoder.bare(pair[side]) for pair in moved] for side in (0, 1))
    tokens = encoder.encode(before)
    return [(opening + start, rest) for start, rest in zip(tokens, encoder.go_on(after, before, tokens), strict=True)]


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
