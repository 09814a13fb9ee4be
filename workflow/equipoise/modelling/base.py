"""Loads the base model and its tokenizer, from a folder or from the local snapshot of a hub id. Safetensors only, no remote code."""

import os
from fnmatch import fnmatch
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Lora, Model
from equipoise.errors import UserError, first_line
from equipoise.files import file_digest, full_disk
from equipoise.hub import hub_reason
from equipoise.modelling.base_files import WEIGHTS, read_architecture, refuse_without_tokenizer, weight_files
from equipoise.modelling.chat import CHAT_TEMPLATE

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Weights, configuration and tokenizer as transformers reads them. Repositories also hold other forms of the weights, as large again:
# original/*.pth, consolidated.safetensors, onnx/.
PARTS = (WEIGHTS, "*.json", "*.model", "merges.txt", "vocab.txt")


def resolve_device(device: str) -> "torch.device":
    """`cuda` is the first GPU, and of several training processes each has its own; `auto` the same where there is a GPU, else the CPU.

    Raises `UserError` for a GPU that is not there.
    """
    import torch

    available = torch.cuda.is_available()
    if device.startswith("cuda") and not available:
        raise UserError(f"model.device: {device!r}, but torch sees no GPU here; write auto or cpu")
    if device in ("auto", "cuda"):
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if available else torch.device("cpu")
    return torch.device(device)


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
    return {name: file_digest(folder / name) for name in names}


def load_tokenizer(model: Model) -> "PreTrainedTokenizerBase":
    """The base's tokenizer with our chat template. Raises `UserError` when it has no eos token, or cannot be read."""
    from transformers import AutoTokenizer

    folder = base_folder(model)
    refuse_without_tokenizer(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        raise UserError(f"model.base: the tokenizer of {folder} cannot be read: {_tokenizer_reason(error)}") from None
    if tokenizer.eos_token_id is None:
        raise UserError(f"model.base: the tokenizer of {model.base} has no eos token; set one in its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _tokenizer_reason(error: Exception) -> str:
    for package in ("sentencepiece", "tiktoken"):
        if package in str(error).lower() and find_spec(package) is None:
            return f"it needs the package {package}; run pip install {package}"
    return first_line(error)


def load_base(model: Model, precision: str, device: "torch.device | str") -> "PreTrainedModel":
    """The base model in `fp32` or `bf16`, in eval mode, all parameters frozen, on `device`; on `meta` nothing is kept of the weights.

    Raises `UserError` for a folder that cannot be used, tensors that are missing or that no part of the model takes (transformers would
    draw or drop them), and a kind of attention that the architecture does not have.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    folder = base_folder(model)
    config = read_architecture(folder)
    if getattr(config, "output_router_logits", False):
        config.output_router_logits = False  # the loss would get a term that is not of the examples
    attention = None if model.attention == "auto" else model.attention  # none: sdpa where the architecture has it, else eager
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # a table of what it drew and dropped; we refuse it
    try:
        weight_files(folder)
        loaded, told = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            attn_implementation=attention,
            device_map="meta" if str(device) == "meta" else None,
            ignore_mismatched_sizes=True,  # told below
            output_loading_info=True,
        )
        _refuse_other_tensors(folder, told)
    except (ValueError, RuntimeError, OSError, SafetensorError) as error:
        if full_disk(error) or isinstance(error, torch.OutOfMemoryError):
            raise
        if "attention" in str(error) and model.attention != "auto":
            raise UserError(f"model.attention: {config.model_type} has no {model.attention}; write auto") from None
        raise UserError(f"model.base: {folder} cannot be loaded: {first_line(error)}") from None
    finally:
        logging.set_verbosity(level)
    loaded.requires_grad_(False)
    loaded.config.use_cache = False
    return loaded.eval().to(device)


def _refuse_other_tensors(folder: Path, told: dict[str, Any]) -> None:
    for kind, said in (
        ("missing_keys", "lacks"),
        ("mismatched_keys", "has in another shape"),
        ("unexpected_keys", "holds besides its model's"),
    ):
        names = sorted(name if isinstance(name, str) else name[0] for name in told.get(kind, ()))
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise UserError(f"model.base: {folder} {said} tensors: {shown}; copy its weights and config.json again, from one place")


@lru_cache(maxsize=4)
def _shape_of(folder: Path) -> "PreTrainedModel":
    """The base as its config.json alone says, without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(read_architecture(folder))


def adapted_in(model: Model, lora: Lora) -> list[str]:
    """The modules that `lora.target_modules` stands for in this base: what fingerprints hold, however they were named."""
    from equipoise.modelling.targets import adapted_modules

    return adapted_modules(_shape_of(base_folder(model)), lora)
