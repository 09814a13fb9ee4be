"""The one tiny base: a random model of two layers with a tokenizer of whole words, and random adapters of it."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Lora, Model
from helpers.rows import WORDS

if TYPE_CHECKING:
    import torch

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
SPECIALS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}


@functools.cache
def tiny_base() -> Path:
    """Folder of the base in safetensors with its tokenizer; made once per process and not to be changed."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = Path(tempfile.mkdtemp(prefix="base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    vocabulary = {word: i for i, word in enumerate([*SPECIALS.values(), "<|user|>", "<|assistant|>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIALS).save_pretrained(folder)
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = LlamaConfig(vocab_size=len(vocabulary), max_position_embeddings=8192, **tokens, **SIZES)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


def random_adapter(base: "torch.nn.Module", lora: Lora, seed: int) -> "torch.nn.Module":
    """An adapter whose B is not zero, in eval mode."""
    import torch

    from equipoise.modelling.adapter import attach_adapter, lora_parameters

    model = attach_adapter(base, lora, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora_parameters(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def write_checkpoint(folder: str, model_config: Model, lora: Lora, epoch: int) -> None:
    """An epoch checkpoint of a random adapter after two real Adam steps on random gradients."""
    import torch

    from equipoise.modelling.adapter import lora_parameters
    from equipoise.modelling.base import load_base, load_tokenizer
    from equipoise.modelling.checkpoint import save_checkpoint

    model = random_adapter(load_base(model_config, "fp32", "cpu"), lora, epoch)
    parameters = list(lora_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    generator = torch.Generator().manual_seed(100 + epoch)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
        optimizer.step()
    save_checkpoint(folder, model, load_tokenizer(model_config), optimizer, epoch, 2 * epoch, 1e-4 / epoch, "warm-up")
