"""lm-eval's Hugging Face model, with the tokens that training sees and decoding that drops finished rows.

Import inside functions: lm-eval, torch and transformers come with it.
"""

import logging
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM
from torch.nn import functional as F

from equipoise import progress
from equipoise.errors import UserError
from equipoise.evaluation.decoding import decode
from equipoise.evaluation.prompts import Prompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REMEMBERED_TOKENS = 4_000_000
OUTPUTS_AT_ONCE = 1 << 14  # rows of the output layer that are held in fp32


@contextmanager
def output_in_fp32(model: "PreTrainedModel") -> Iterator[None]:
    """Within: the output layer of `model`, and what follows it (a cap, a scale), computes in fp32, whatever its weights' format."""
    head = model.get_output_embeddings()
    linear = head.get_base_layer() if hasattr(head, "get_base_layer") else head  # under an adapter of its own

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.to(linear.weight.device)  # of a base over several
        parts = [F.linear(hidden.float(), rows.float()) for rows in linear.weight.split(OUTPUTS_AT_ONCE)]
        return torch.cat(parts, -1) if linear.bias is None else torch.cat(parts, -1) + linear.bias.float()

    own = linear.__dict__.get("forward")  # accelerate's, of a base over several devices
    linear.forward = forward
    try:
        yield
    finally:
        if own is None:
            del linear.forward
        else:
            linear.forward = own


class LanguageModel(HFLM):
    """Answers lm-eval's requests for a model that may be exchanged (`model` can be set) while tokenised prompts are remembered."""

    def __init__(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_size: int, think_end: str | None = None):
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, backend="causal")
        self.prompts = Prompts(tokenizer, getattr(model, "generation_config", None), think_end)
        self._remembered: dict[str, array] = {}
        self._remembered_tokens = 0
        self._requests = self._done = 0
        self._said = 0.0

    @property
    def model(self) -> "PreTrainedModel":
        return self._model

    @model.setter
    def model(self, model: "PreTrainedModel") -> None:
        self._model = model

    def start(self, seed: int) -> None:
        """Starts sampling again, from `seed`, and counting."""
        torch.manual_seed(seed)
        self.prompts.cut.clear()

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **_: Any) -> list[int]:
        known = self._remembered.get(string) if add_special_tokens is None else None
        if known is not None:
            ids = known.tolist()
        else:
            ids = self.prompts.tokens(string, add_special_tokens is not False)
            if add_special_tokens is None and self._remembered_tokens < REMEMBERED_TOKENS:
                self._remembered[string] = array("i", ids)
                self._remembered_tokens += len(ids)
        return ids[-left_truncate_len:] if left_truncate_len else ids

    def tok_batch_encode(
        self, strings: list[str], padding_side: str = "left", left_truncate_len: int | None = None, truncation: bool = False
    ):
        encoded = [self.tok_encode(string, left_truncate_len=left_truncate_len) for string in strings]
        longest = max(map(len, encoded))
        ids = torch.full((len(encoded), longest), self.tokenizer.pad_token_id, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            place = slice(longest - len(tokens), longest) if padding_side == "left" else slice(0, len(tokens))
            ids[row, place] = torch.tensor(tokens)
            mask[row, place] = 1
        return ids, mask

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> str:
        if isinstance(tokens, list) and skip_special_tokens:
            return self.prompts.whole_answer(tokens)
        return self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.prompts.chat(chat_history)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return self.prompts.pair(context, continuation)

    # requests
    def loglikelihood(self, requests, disable_tqdm: bool = True):
        self.prompts.look(requests, self.max_length + 1)
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def _loglikelihood_tokens(self, requests, disable_tqdm: bool = False, override_bs: int | None = None) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation given its context, and whether it is the greedy one, from logits in fp32.

        requests: ((context, continuation) as text, tokens of each). Choices of equal context share a forward pass; logits are made only
        where a continuation stands. In bf16 a few per cent of the choices would tie, and be decided by their order.
        """
        wanted: dict[tuple[int, ...], list[int]] = {}
        for number, (_, context, continuation) in enumerate(requests):
            wanted.setdefault(tuple((context + continuation)[-(self.max_length + 1) : -1]), []).append(number)
        inputs = sorted(wanted, key=lambda tokens: (-len(tokens), tokens))
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        step = override_bs or self.batch_size
        for start in range(0, len(inputs), step):
            batch = inputs[start : start + step]
            reach = [max(len(requests[number][2]) for number in wanted[tokens]) for tokens in batch]
            for tokens, logits in zip(batch, self._last_logits(batch, reach), strict=True):
                scores = logits.log_softmax(-1)
                for number in wanted[tokens]:
                    continuation = torch.tensor(requests[number][2], device=scores.device)
                    own = scores[len(scores) - len(continuation) :]
                    greedy = bool((own.argmax(-1) == continuation).all())
                    answers[number] = (float(own.gather(1, continuation[:, None]).sum()), greedy)
        return answers

    def _last_logits(self, batch: list[tuple[int, ...]], reach: list[int]) -> list[torch.Tensor]:
        """Logits, float32 [reach, vocabulary], at the last `reach` positions of every sequence; padded on the right, where none sees it."""
        longest = max(map(len, batch))
        ids = torch.full((len(batch), longest), self.tokenizer.pad_token_id, dtype=torch.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        places = [range(len(tokens) - wide, len(tokens)) for tokens, wide in zip(batch, reach, strict=True)]
        kept = sorted({place for each in places for place in each})
        with torch.no_grad(), output_in_fp32(self.model):
            logits = self.model(
                input_ids=ids.to(self.device), logits_to_keep=torch.tensor(kept, device=self.device), use_cache=False
            ).logits
        at = {place: number for number, place in enumerate(kept)}
        return [logits[row, [at[place] for place in each]].float() for row, each in enumerate(places)]

    def generate_until(self, requests, disable_tqdm: bool = True):
        self._requests, self._done, self._said = len(requests), 0, time.monotonic()
        self.prompts.look(requests, self.max_length)
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def _model_generate(self, context, max_length: int, stop: list[str], attention_mask=None, **settings: Any) -> torch.Tensor:
        sampled = settings.pop("do_sample", None)
        temperature = settings.pop("temperature", 0.0) if sampled else 0.0
        other = {key: value for key, value in settings.items() if key in ("top_k", "top_p", "num_beams") and value not in (0, 1, None)}
        if other and (sampled or "num_beams" in other):
            raise UserError(f"generation settings {other} are not supported; use greedy decoding or a plain temperature")
        eos_text = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        stops = [text for text in stop if text and text != eos_text]

        def stopped(rows):
            texts = map(self.prompts.answer, rows)
            return [text is not None and any(stop in text for stop in stops) for text in texts]

        out = decode(
            self.model,
            context,
            attention_mask,
            max_length,
            eos=self.prompts.ends,
            pad=self.tokenizer.eos_token_id,
            stopped=stopped if stops else lambda rows: [False] * len(rows),
            temperature=temperature,
        )
        self._log_progress(len(context))
        return out

    def _log_progress(self, rows: int) -> None:
        self._done += rows
        progress.tell("answers", self._done, self._requests, "answers")
        now = time.monotonic()
        if now - self._said >= progress.SECONDS_BETWEEN_LINES and self._done < self._requests:
            self._said = now
            progress.log(f"evaluate: {self._done:,} of {self._requests:,} answers")
