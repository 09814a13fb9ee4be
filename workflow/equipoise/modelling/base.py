"""Loads the base model and its tokenizer, from a folder or from the local snapshot of a hub id. Safetensors only, no remote code."""

import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Model
from equipoise.errors import UserError
from equipoise.hub import hub_reason
from equipoise.modelling.chat import CHAT_TEMPLATE
from equipoise.modelling.digests import remembered_digest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Weights, configuration and tokenizer as transformers reads them. Repositories also hold other forms of the weights, as large again:
# original/*.pth, consolidated.safetensors, onnx/.
WEIGHTS = "model*.safetensors"
PARTS = (WEIGHTS, "*.json", "*.model", "merges.txt", "vocab.txt")


def resolve_device(device: str) -> "torch.device":
    """`cuda` is the first GPU, and of several training processes each has its own; `auto` the same where there is a GPU, else the CPU.

    Raises `UserError` for a GPU that is not there. The device is ready for work and logged (`modelling.device`).
    """
    import torch

    from equipoise.modelling.device import prepared

    available = torch.cuda.is_available()
    if device.startswith("cuda") and not available:
        raise UserError(f"model.device: {device!r}, but torch sees no GPU here; write auto or cpu")
    if device in ("auto", "cuda"):
        return prepared(torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if available else torch.device("cpu"))
    return prepared(torch.device(device), cpu_is_meant=device == "cpu")


def base_folder(model: Model) -> Path:
    """The folder that holds the base: `model.base` itself, or the local snapshot of the hub id (see the `fetch` rule), `PARTS` alone.

    Raises `UserError` when there is neither.
    """
    if Path(model.base).is_dir():
        return Path(model.base)
    if model.base.startswith((".", "/")) or model.base.count("/") != 1:
        raise UserError(f"model.base: no folder {model.base!r}; write an existing folder or a hub id such as meta-llama/Meta-Llama-3-8B")
    from huggingface_hub import snapshot_download

    offline = bool(os.environ.get("HF_HUB_OFFLINE"))
    try:
        folder = snapshot_download(
            model.base, revision=model.revision, local_files_only=offline, allow_patterns=list(PARTS), ignore_patterns=["*/*"]
        )
    except Exception as error:
        raise UserError(f"model.base: cannot load {model.base!r} at revision {model.revision!r}: {hub_reason(error)}") from None
    return Path(folder)


def base_identity(model: Model) -> dict[str, Any]:
    """What identifies the base in fingerprints: the digest of every weight, config and tokenizer file, by file name."""
    folder = base_folder(model)
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and any(fnmatch(p.name, part) for part in PARTS))
    return {name: remembered_digest(folder / name) for name in names}


def load_tokenizer(model: Model) -> "PreTrainedTokenizerBase":
    """The base's tokenizer with our chat template. Raises `UserError` when it has no eos token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_folder(model))
    if tokenizer.eos_token_id is None:
        raise UserError(f"model.base: the tokenizer of {model.base} has no eos token; set one in its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.clean_up_tokenization_spaces = False  # decoding would take spaces before punctuation out of answers, programs too
    return tokenizer


def load_base(model: Model, precision: str, device: "torch.device | str") -> "PreTrainedModel":
    """The base model in `fp32` or `bf16`, in eval mode, all parameters frozen, on `device`."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    device = torch.device(device)
    place = {} if device.type == "cpu" else {"device_map": {"": device}}  # tensor by tensor: the host never holds the whole base
    loaded = AutoModelForCausalLM.from_pretrained(
        base_folder(model), dtype=dtype, use_safetensors=True, attn_implementation="sdpa", **place
    )
    loaded.requires_grad_(False)
    loaded.config.use_cache = False
    return loaded.eval().to(device)
