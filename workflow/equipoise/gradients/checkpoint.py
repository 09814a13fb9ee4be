"""Epoch checkpoints as the gradient stages need them: the adapter's weights and what identifies them (`moments` has Adam's)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.store.manifest import file_digest

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER_KEYS = (
    "peft_type",
    "r",
    "lora_alpha",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "layers_to_transform",
)


def adapter_identity(folder: str | Path) -> dict[str, Any]:
    """What identifies an adapter in fingerprints: its weights' digest and its shape, not the path of its base."""
    folder = Path(folder)
    if not (folder / "adapter_model.safetensors").is_file() or not (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder}: no epoch checkpoint (adapter_model.safetensors and adapter_config.json); run warm_up")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    shape = {key: sorted(config[key]) if isinstance(config.get(key), list) else config.get(key) for key in ADAPTER_KEYS}
    return {"weights": file_digest(folder / "adapter_model.safetensors"), "config": shape}


def swap_adapter(model: "PeftModel", folder: str | Path) -> None:
    """Puts the weights of another checkpoint of the same adapter into `model`, in place."""
    import torch
    from safetensors.torch import load_file

    saved, parameters = load_file(Path(folder) / "adapter_model.safetensors"), lora_parameters(model)
    for name in sorted(saved.keys() ^ parameters.keys()):
        raise UserError(f"{folder}: {name} is {'not in the model' if name in saved else 'missing'}; is it a checkpoint of another adapter?")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != saved[name].shape:
                raise UserError(f"{folder}: {name} is {list(saved[name].shape)}, the model's is {list(parameter.shape)}")
            parameter.copy_(saved[name])


def load_checkpoint(base: "PreTrainedModel", folder: str | Path) -> "PeftModel":
    """The checkpoint's adapter on the frozen base, in eval mode."""
    return load_adapter(base, folder)
