"""Chat format, tokenisation and masking: one place, so that training, gradients and evaluation see the same tokens.

Format: `<|user|>\\n{prompt}\\n<|assistant|>\\n{response}{eos}\\n`, loss on the response and eos alone. Prompt and response are
tokenised apart and concatenated; BOS appears exactly once where the tokenizer has one (method: target training and evaluation).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """Tokens of one example: `input_ids[:prompt_length]` carry no loss, the rest (the completion) does."""

    input_ids: list[int]
    prompt_length: int

    @property
    def completion_tokens(self) -> int:
        """Number of tokens with a loss. The first token of a sequence has none: nothing predicts it."""
        return max(0, len(self.input_ids) - max(self.prompt_length, 1))


def chat_prefix(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    """The text before a response in chat form, BOS included where the tokenizer has one."""
    return tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)


def encode_many(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], responses: Sequence[str], max_length: int, chat: bool = True
) -> list[Encoded]:
    """Tokenises examples, cutting each to `max_length` tokens at the end.

    chat: chat form with eos after the response; otherwise BOS + prompt + response as they are (benchmarks evaluated without template).
    """
    if not prompts:
        return []
    if chat:
        prompts = [chat_prefix(tokenizer, prompt) for prompt in prompts]
        before, after = [], [tokenizer.eos_token_id]
    else:
        before, after = ([] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]), []
    prefixes = tokenizer(list(prompts), add_special_tokens=False).input_ids
    completions = tokenizer(list(responses), add_special_tokens=False).input_ids
    encoded = []
    for prefix, completion in zip(prefixes, completions, strict=True):
        ids = (before + prefix + completion + after)[:max_length]
        encoded.append(Encoded(ids, min(len(before) + len(prefix), len(ids))))
    return encoded


def evaluation_tokens(tokenizer: "PreTrainedTokenizerBase", text: str, special: bool) -> list[int]:
    """Tokens of a text as training sees them: with `special`, BOS exactly once where the tokenizer has one; nothing else added."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    bos = tokenizer.bos_token_id
    return [bos, *ids] if special and bos is not None and not text.startswith(tokenizer.bos_token) else ids


def pad(examples: Sequence[Encoded], pad_token: int) -> dict[str, "torch.Tensor"]:
    """Right-pads examples to a batch: int64 `input_ids`, `attention_mask` and `labels` (prompt and padding ignored), each [n, longest]."""
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
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pad_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The token that fills batches; it is masked, so any will do where the tokenizer names none."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
