"""lm-eval's vLLM model with the tokens that training sees; adapters are exchanged between runs while the engine stays.

Import only when a suite says `backend: vllm`: vLLM needs an environment of its own (envs/vllm-requirements.txt). Prompts, stops and the
decoding of answers are those of `language_model`, so that greedy answers differ between the backends by rounding alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.models.vllm_causallms import VLLM
from vllm.lora.request import LoRARequest

from equipoise.config import Experiment
from equipoise.config_checks import VLLM_RANKS
from equipoise.evaluation.prompts import Prompts
from equipoise.modelling.base import adapted_in, base_folder, generation_config
from equipoise.seeds import derive_seed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


class VllmModel(VLLM):
    """Answers lm-eval's requests for the base with an adapter that may be exchanged (`use`)."""

    def __init__(self, config: Experiment, tokenizer: "PreTrainedTokenizerBase"):
        super().__init__(
            pretrained=str(base_folder(config.model)),
            dtype=DTYPES[config.model.precision],
            batch_size="auto",
            max_lora_rank=next(room for room in VLLM_RANKS if room >= config.lora.rank),
            enable_lora=True,
            # else vLLM also makes room for one on lm_head, whose likelihoods of prompts are wrong or fail (its issue 51594)
            lora_target_modules=sorted({name.rpartition(".")[2] for name in adapted_in(config.model, config.lora)}),
        )
        self.tokenizer = tokenizer
        self.prompts = Prompts(tokenizer, generation_config(config.model))
        self._seed = 0
        self._adapters: dict[str, LoRARequest] = {}

    def use(self, adapter: str | None, think_end: str | None = None) -> None:
        """Takes the adapter saved in a folder, or none, and what ends a section of thinking: stops before it would end it."""
        self.think_end_token = self.prompts.think_end = think_end
        if adapter is not None and adapter not in self._adapters:
            number = len(self._adapters) + 1
            self._adapters[adapter] = LoRARequest(f"adapter-{number}", number, adapter)
        self.lora_request = self._adapters[adapter] if adapter else None

    def start(self, seed: int) -> None:
        """Starts sampling again, from `seed`, and counting."""
        self._seed = seed
        self.prompts.cut.clear()

    def tok_encode(self, string: str | Sequence[str], add_special_tokens: bool | None = None, **_: Any) -> Any:
        if not isinstance(string, str):
            return [self.tok_encode(one, add_special_tokens) for one in string]
        return self.prompts.tokens(string, add_special_tokens is not False)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.prompts.chat(chat_history)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return self.prompts.pair(context, continuation)

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        self.prompts.look(requests, self.max_length)
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.prompts.look(requests, self.max_length - 1)
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def _model_generate(self, requests: list[list[int]], generate: bool = False, sampling_params: Any = None) -> Any:
        for place, settings in enumerate(sampling_params if isinstance(sampling_params, list) else []):
            settings.seed = derive_seed(self._seed, place)
        outputs = super()._model_generate(requests, generate, sampling_params)
        for answer in (answer for output in outputs if generate for answer in output.outputs):
            # vLLM's own text continues the prompt's: it may begin with a space, and holds special tokens
            answer.text = self.prompts.whole_answer(list(answer.token_ids))
        return outputs
