"""What `make gpu-check` computes on: random weights from configurations, without any download, and examples of random tokens."""

from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from equipoise.config import Lora
from equipoise.modelling.adapter import attach_adapter, lora_parameters
from equipoise.modelling.chat import Encoded
from equipoise.planning.architecture import Architecture, from_config

LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}
LLAMA_3_1B = LLAMA_3_8B | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "tie_word_embeddings": True}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}
SMALLER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128}


@dataclass(frozen=True)
class Scale:
    """How large the check is: the model whose speed is measured, the one whose numbers are compared, and the work given to them."""

    large: dict
    small: dict
    rank: int
    dimension: int
    length: int
    examples: int
    token_budget: int
    runs: int

    @property
    def shape(self) -> Architecture:
        """Of the large model, as the plan counts it."""
        return from_config(LlamaConfig(**self.large).to_dict(), "gpu-check")


FULL = Scale(LLAMA_3_8B, LLAMA_3_1B, 128, 8192, 500, 64, 8192, 3)
IN_SMALL = Scale(TINY, SMALLER, 4, 512, 40, 12, 256, 1)


def random_model(shape: dict, rank: int, device: torch.device, dtype: torch.dtype):
    """A model of random weights with an adapter that is not zero, in eval mode on `device`; on the CPU the same numbers every time."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    try:
        with device:
            base = LlamaForCausalLM(LlamaConfig(**shape)).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    model = attach_adapter(base, Lora(rank=rank, alpha=4 * rank), 0).to(device).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in lora_parameters(model).values():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return model


def random_examples(vocabulary: int, length: int, count: int) -> list[Encoded]:
    """Examples of about `length` tokens, half of them the completion."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(length * 4 // 5, length * 6 // 5, (count,), generator=generator).tolist()
    return [Encoded(torch.randint(0, vocabulary, (n,), generator=generator).tolist(), n // 2) for n in lengths]
