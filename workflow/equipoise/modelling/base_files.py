"""What lies in the folder of a base, told before anything is loaded: weights, architecture, tokenizer; what cannot work is refused."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError, first_line
from equipoise.inputs import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

WEIGHTS = "model*.safetensors"
INDEX = "model.safetensors.index.json"
OTHER_WEIGHTS = ("pytorch_model*.bin", "*.bin", "*.pt", "*.pth", "*.gguf", "*.safetensors", "*.h5", "*.msgpack")
MOST_LAYERS = 10_000
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


def read_architecture(folder: Path, name: str) -> "PreTrainedConfig":
    """The configuration of a base that can be trained here, from its folder. name: as `model.base` has it.

    Raises `UserError` for an adapter, an encoder, an encoder with a decoder, quantised weights, and what only code of its own could load.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    values = _own_values(folder, name)
    kind = str(values.get("model_type") or "")
    if values.get("quantization_config") or values.get("compression_config"):
        raise UserError(f"model.base: {name} is quantised, and adapters are trained beside whole weights; name the base it was made from")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)  # left out, it asks at a terminal
    except Exception as error:
        own = values.get("auto_map") or kind
        reason = f"its architecture {kind!r} needs code of its own, which is never run" if own else "its config.json has no model_type"
        known = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        raise UserError(f"model.base: {name}: {f'config.json: {first_line(error)}' if known else reason}; name another base") from None
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"model.base: {name} is {kind}, an encoder with a decoder; name a decoder alone, such as a Llama")
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    if isinstance(layers, int) and not 0 < layers <= MOST_LAYERS:
        raise UserError(f"model.base: {name}: config.json says {layers} layers; copy it again")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(f"model.base: {name} is {kind}, which is no causal language model; name one, such as a Llama")
    return config


def _own_values(folder: Path, name: str) -> Mapping[str, Any]:
    path = folder / "config.json"
    if not os.path.lexists(path):
        if (folder / "adapter_config.json").is_file():
            raise UserError(f"model.base: {name} holds an adapter, no base; name its base, or merge them and save the result")
        raise UserError(f"model.base: {name} has no config.json; name the folder of a base as transformers saves it")
    values = read_json(path, f"the config.json of model.base: {name} as it was saved", strict=False)
    if not isinstance(values, dict):
        raise UserError(f"model.base: {name}: config.json holds no keys; copy it again")
    return values


def weight_files(folder: Path, name: str) -> list[Path]:
    """The safetensors of a base, sorted. Raises `UserError` when there are none, a part is missing, or an adapter lies beside them."""
    if (folder / "adapter_config.json").is_file():  # transformers would load it with the base, without a word
        raise UserError(f"model.base: {name} holds an adapter; name its base, or merge them and save the result")
    files = sorted(folder.glob(WEIGHTS))
    if not files:
        found = next((path.name for form in OTHER_WEIGHTS for path in sorted(folder.glob(form))), None)
        held = f"only {found}; load it and save it with save_pretrained" if found else "no weights; copy them"
        raise UserError(f"model.base: {name} has no weights as {WEIGHTS}, {held}, or name another base")
    index = folder / INDEX
    if index.is_file() and not (folder / "model.safetensors").is_file():
        told = read_json(index, f"that of model.base: {name} as it was saved")
        placed = told.get("weight_map") if isinstance(told, dict) else None
        if not isinstance(placed, dict) or not all(isinstance(part, str) for part in placed.values()):
            raise UserError(f"model.base: {name}: {INDEX} does not say which file holds which tensor; copy it again")
        parts = set(placed.values())
        for missing in sorted(parts - {path.name for path in files}):
            raise UserError(f"model.base: {name}: {missing} is missing, which {INDEX} names; copy it too")
    return files


def refuse_without_tokenizer(folder: Path, name: str) -> None:
    """Raises `UserError` for a folder in which there is no tokenizer."""
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise UserError(f"model.base: {name} has no tokenizer ({', '.join(TOKENIZER_FILES[:3])}); copy its files there")
