"""Loads the base model and its tokenizer, from a folder or from the local snapshot of a hub id. Safetensors only, no remote code."""

import os
from fnmatch import fnmatch
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.config import Experiment, Lora, Model
from equipoise.config_keys import OWN, PAPER
from equipoise.errors import UserError, first_line
from equipoise.files import file_digest, full_disk
from equipoise.hub import hub_reason
from equipoise.inputs import read_text, regular_file
from equipoise.modelling.base_files import WEIGHTS, read_architecture, refuse_without_tokenizer, weight_files
from equipoise.modelling.quantised import keep_one_layout, settings_of
from equipoise.modelling.template import CHAT_TEMPLATE, TODAY, template_of
from equipoise.shipped import base_path
from equipoise.store.artefact import Artefact
from equipoise.store.digests import remembered_digest
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

# Weights, configuration and tokenizer as transformers reads them. Repositories also hold other forms of the weights, as large again:
# original/*.pth, consolidated.safetensors, onnx/.
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
    if (here := base_path(model.base)).is_dir():
        for name in os.listdir(here):
            if any(fnmatch(name, part) for part in PARTS):  # a library would wait for a pipe
                regular_file(here / name, f"that of model.base: {model.base} as it was saved")
        return here
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
    """What identifies the base in fingerprints: the digest of every weight, config and tokenizer file, by file name.

    Where its chat template is not the paper's, also that of a template's file, or that it is the base's own.
    """
    folder = base_folder(model)
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and any(fnmatch(p.name, part) for part in PARTS))
    digests = {name: remembered_digest(folder / name) for name in names}
    if model.template_file:
        return digests | {"chat_template": fingerprint(_template_file(model.template_file))}
    return digests | {"chat_template": OWN} if model.chat_template == OWN else digests


def weight_defects(config: Experiment, base: Artefact) -> list[str]:
    """Files of the base that are not those that `check_base` found, all of them read; none for artefacts of other kinds."""
    if base["kind"] != "base":
        return []
    try:
        folder = base_folder(config.model)
    except UserError:
        return []  # not on this machine
    changed = [name for name, digest in base["weights"].items() if not (folder / name).is_file() or file_digest(folder / name) != digest]
    return [f"{folder / name}: not the file of the base that was checked; copy or fetch it again" for name in changed]


def positions_for(model: Model) -> int | None:
    """Tokens that the base has positions for, if there is an end to them. Raises `UserError` where examples may be longer."""
    text = read_architecture(base_folder(model), model.base).get_text_config()
    positions = next((getattr(text, key) for key in ("max_position_embeddings", "n_positions") if getattr(text, key, None)), None)
    if positions is not None and model.max_length > positions:
        raise UserError(
            f"model.max_length: {model.max_length}, but {model.base} has positions for {positions} tokens; write at most {positions}"
        )
    return positions


def load_tokenizer(model: Model) -> "PreTrainedTokenizerBase":
    """The base's tokenizer with the chat template of `model.chat_template`, and its own as `own_template`, where it has another.

    Raises `UserError` when it has no eos token, or cannot be read, and for a template that cannot be used.
    """
    from transformers import AutoTokenizer

    folder = base_folder(model)
    refuse_without_tokenizer(folder, model.base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)  # left out, it asks at a terminal
    except Exception as error:
        raise UserError(f"model.base: the tokenizer of {model.base} cannot be read: {_tokenizer_reason(folder, error)}") from None
    if tokenizer.eos_token_id is None:
        raise UserError(f"model.base: the tokenizer of {model.base} has no eos token; set one in its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    _set_template(model, tokenizer)
    tokenizer.clean_up_tokenization_spaces = False  # decoding would take spaces before punctuation out of answers, programs too
    return tokenizer


def generation_config(model: Model) -> "GenerationConfig":
    """How the base generates by itself, its end tokens above all: what its folder says, else its config.json."""
    from transformers import GenerationConfig

    folder = base_folder(model)
    if (folder / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(folder)
    return GenerationConfig.from_model_config(read_architecture(folder, model.base))


def own_template(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """The template that the base's tokenizer came with, which `load_tokenizer` may have replaced; none where it had the one it has."""
    return vars(tokenizer).get("equipoise_own_template")


def _set_template(model: Model, tokenizer: "PreTrainedTokenizerBase") -> None:
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    if model.chat_template == PAPER:
        tokenizer.chat_template = CHAT_TEMPLATE
        vars(tokenizer)["equipoise_own_template"] = own if own != CHAT_TEMPLATE else None
        return
    if model.chat_template == OWN and not own:
        raise UserError(f"model.chat_template: own, but {model.base} has no chat template; write paper, or the path of a Jinja file")
    template = _template_file(model.template_file) if model.template_file else own
    tokenizer.chat_template = TODAY + template if "strftime_now" in template and not template.startswith(TODAY) else template
    template_of(tokenizer).refuse_unusable(model.template_file or f"that of {model.base}")


def _template_file(path: str) -> str:
    try:
        return read_text(path, "paper, own, or the path of a Jinja file")
    except UserError as error:
        raise UserError(f"model.chat_template: {error}") from None


def _tokenizer_reason(folder: Path, error: Exception) -> str:
    if (folder / "tokenizer.model").is_file():  # of one kind or the other; transformers' error names the last that it tried
        for package in ("sentencepiece", "tiktoken"):
            if find_spec(package) is None:
                return f"its tokenizer.model may need the package {package}; run pip install {package}"
    return first_line(error)


def load_base(
    model: Model, precision: str, device: "torch.device | str", quantisation: str | None = None, spread: bool = False
) -> "PreTrainedModel":
    """The base model in `fp32` or `bf16`, in eval mode, all parameters frozen, on `device`; on `meta` nothing is kept of the weights.

    quantisation: of its linear maps; none: as `model.quantisation` says. On `meta` they are whole. spread: what works on several GPUs
    (`model.device_map: auto`), so that the base may lie over all that there are.
    Raises `UserError` for a folder that cannot be used, tensors that are missing or that no part of the model takes (transformers would
    draw or drop them), and a kind of attention that the architecture does not have.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    device = torch.device(device)
    quantised = None if device.type == "meta" else settings_of(quantisation or model.quantisation, dtype)
    place = None if device.type == "cpu" else {"": device}  # tensor by tensor: the host never holds the whole base
    spread = spread and device.type == "cuda" and model.device_map == "auto"
    folder = base_folder(model)
    config = read_architecture(folder, model.base)
    if getattr(config, "output_router_logits", False):
        config.output_router_logits = False  # the loss would get a term that is not of the examples
    attention = None if model.attention == "auto" else model.attention  # none: sdpa where the architecture has it, else eager
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # a table of what it drew and dropped; we refuse it
    try:
        weight_files(folder, model.base)
        loaded, told = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=attention,
            device_map="auto" if spread else place,
            quantization_config=quantised,
            ignore_mismatched_sizes=True,  # told below
            output_loading_info=True,
        )
        _refuse_other_tensors(model.base, told)
        if spread:
            _refuse_spilled(model.base, loaded.hf_device_map)
    except (ValueError, RuntimeError, OSError, SafetensorError) as error:
        if full_disk(error) or isinstance(error, torch.OutOfMemoryError):
            raise
        if "attention" in str(error) and model.attention != "auto":
            raise UserError(f"model.attention: {config.model_type} has no {model.attention}; write auto") from None
        raise UserError(f"model.base: {model.base} cannot be loaded: {first_line(error)}") from None
    finally:
        logging.set_verbosity(level)
    loaded.requires_grad_(False)
    loaded.config.use_cache = False
    if quantised is not None:
        keep_one_layout(loaded)
    if quantised is not None or spread:
        return loaded.eval()
    return loaded.eval().to(device)


def _refuse_spilled(name: str, places: dict[str, Any]) -> None:
    """Raises `UserError` where a part of a base would be fetched from the host or the disk at every pass, for want of GPU memory."""
    spilled = sorted(part for part, place in places.items() if str(place) in ("cpu", "disk"))
    if spilled:
        gpus = len({str(place) for place in places.values()} - {"cpu", "disk"})
        raise UserError(f"model.base: {name} does not fit into {gpus} GPUs ({spilled[0]} and on); raise jobs.gpus, or write nf4")


def _refuse_other_tensors(name: str, told: dict[str, Any]) -> None:
    for kind, said in (
        ("missing_keys", "lacks"),
        ("mismatched_keys", "has in another shape"),
        ("unexpected_keys", "holds besides its model's"),
    ):
        names = sorted(each if isinstance(each, str) else each[0] for each in told.get(kind, ()))
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise UserError(f"model.base: {name} {said} tensors: {shown}; copy its weights and config.json again, from one place")


@lru_cache(maxsize=4)
def _shape_of(folder: Path, name: str) -> "PreTrainedModel":
    """The base as its config.json alone says, without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(read_architecture(folder, name))


def adapted_in(model: Model, lora: Lora) -> list[str]:
    """The modules that `lora.target_modules` stands for in this base: what fingerprints hold, however they were named."""
    from equipoise.modelling.targets import adapted_modules

    return adapted_modules(_shape_of(base_folder(model), model.base), lora)
