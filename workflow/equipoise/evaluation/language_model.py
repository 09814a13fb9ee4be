"""lm-eval's Hugging Face model, with the tokens that training sees and decoding that drops finished rows.

Import inside functions: lm-eval, torch and transformers come with it.
"""

import logging
import time
from array import array
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM

from equipoise import progress
from equipoise.errors import UserError
from equipoise.evaluation.decoding import decode
from equipoise.harness.documents import as_one_turn
from equipoise.modelling.chat import chat_prefix, evaluation_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REMEMBERED_TOKENS = 4_000_000


class LanguageModel(HFLM):
    """Answers lm-eval's requests for a model that may be exchanged (`model` can be set) while tokenised prompts are remembered."""

    def __init__(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_size: int):
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, backend="causal")
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
        """Starts sampling again, from `seed`."""
        torch.manual_seed(seed)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **_: Any) -> list[int]:
        known = self._remembered.get(string) if add_special_tokens is None else None
        if known is not None:
            ids = known.tolist()
        else:
            ids = evaluation_tokens(self.tokenizer, string, add_special_tokens is not False)
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

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        prompt, begun = as_one_turn(chat_history)
        return chat_prefix(self.tokenizer, prompt) + begun

    # requests
    def loglikelihood(self, requests, disable_tqdm: bool = True):
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def generate_until(self, requests, disable_tqdm: bool = True):
        self._requests, self._done, self._said = len(requests), 0, time.monotonic()
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
            texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
            return [any(stop in text for stop in stops) for text in texts]

        out = decode(
            self.model,
            context,
            attention_mask,
            max_length,
            eos=self.tokenizer.eos_token_id,
            pad=self.tokenizer.eos_token_id,
            stopped=stopped if stops else lambda rows: [False] * len(rows),
            temperature=temperature,
        )
        self._log_progress(len(context))
        return out

    def _log_progress(self, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        if now - self._said >= progress.SECONDS_BETWEEN_LINES and self._done < self._requests:
            self._said = now
            progress.log(f"evaluate: {self._done:,} of {self._requests:,} answers")
