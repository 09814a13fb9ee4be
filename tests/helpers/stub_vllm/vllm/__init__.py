"""A stand-in for vLLM 0.32 as far as lm-eval uses it: transformers answer, in vLLM's forms and with its limits."""

import math
from types import SimpleNamespace
from typing import ClassVar

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


class SamplingParams:
    """Settings of one request; unknown ones are refused."""

    def __init__(
        self, temperature=1.0, top_k=0, top_p=1.0, max_tokens=16, stop=(), prompt_logprobs=None, detokenize=True, seed=None, **rest
    ):
        assert set(rest) <= {"skip_special_tokens", "spaces_between_special_tokens"}, rest
        self.temperature, self.max_tokens, self.stop, self.seed = temperature, max_tokens, list(stop), seed
        self.prompt_logprobs = prompt_logprobs


def TokensPrompt(prompt_token_ids):
    """A prompt as tokens."""
    assert all(isinstance(token, int) for token in prompt_token_ids), "prompts are flat lists of tokens"
    return {"prompt_token_ids": prompt_token_ids}


class LLM:
    """The engine; `made` keeps the arguments of all of them, `asked` the settings of all requests."""

    made: ClassVar[list] = []
    asked: ClassVar[list] = []

    def __init__(self, model, max_lora_rank, lora_target_modules=None, enable_lora=False, **arguments):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        assert max_lora_rank in RANKS, f"max_lora_rank {max_lora_rank} is none of {RANKS}"
        LLM.made.append(arguments | {"model": model, "max_lora_rank": max_lora_rank})
        self.enable_lora, self.lora_target_modules = enable_lora, lora_target_modules
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.base = AutoModelForCausalLM.from_pretrained(model, dtype=arguments["dtype"]).eval()
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=self.base.config.max_position_embeddings))

    def generate(self, prompts, sampling_params, use_tqdm=True, lora_request=None):
        from peft import PeftModel

        LLM.asked += sampling_params
        model = PeftModel.from_pretrained(self.base, lora_request.lora_path).eval() if lora_request else self.base
        try:
            return [self._answer(model, p["prompt_token_ids"], s) for p, s in zip(prompts, sampling_params, strict=True)]
        finally:
            if lora_request:
                model.unload()

    def _answer(self, model, prompt, settings):
        import torch

        ids, made = list(prompt), []
        random = torch.Generator().manual_seed(settings.seed or 0)
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
            scored = self._prompt_logprobs(prompt, logprobs) if settings.prompt_logprobs else None
            text = ""
            while len(made) < settings.max_tokens and not any(stop in text for stop in settings.stop):
                logits = model(input_ids=torch.tensor([ids])).logits[0, -1].float()
                drawn = torch.multinomial((logits / (settings.temperature or 1)).softmax(-1), 1, generator=random)
                token = int(drawn if settings.temperature else logits.argmax())
                ids.append(token)
                made.append(token)
                if token == self.tokenizer.eos_token_id:
                    break
                text = " " + self.tokenizer.decode(made, skip_special_tokens=False)  # it continues the prompt's text
        for stop in settings.stop:
            text = text.split(stop)[0]
        return SimpleNamespace(prompt_logprobs=scored, outputs=[SimpleNamespace(text=text, token_ids=made)])

    def _prompt_logprobs(self, prompt, logprobs):
        if self.enable_lora and self.lora_target_modules is None:
            raise RuntimeError("einsum(): subscript b has another size")  # what the room for an adapter on lm_head does to prompts
        best = logprobs.argmax(-1)
        found = [{token: row[token].item(), int(top): row[top].item()} for token, row, top in zip(prompt[1:], logprobs, best, strict=False)]
        assert all(math.isfinite(value) for row in found for value in row.values())
        return [None, *found]
