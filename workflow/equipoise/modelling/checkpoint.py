"""Epoch checkpoints of the selection model: adapter, tokenizer, Adam moments keyed by parameter name, mean learning rate.

A checkpoint is a folder (`Layout.checkpoint`), made whole under another name and then renamed. `moments.safetensors` holds
`exp_avg.<saved name>` and `exp_avg_sq.<saved name>` (float32, the parameter's shape; names as PEFT saves them); `state.json` holds
epoch, step, mean_learning_rate, beta1, beta2, eps, the warm-up's fingerprint and the digests of the other files (see `whole_state`).
"""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError
from equipoise.files import file_digest, sync_folder
from equipoise.modelling.adapter import (
    WRAPPED,
    adapted_names,
    lora_parameters,
    refuse_non_finite_weights,
    refuse_other_tensors,
    saved_shapes,
)
from equipoise.modelling.targets import patterns
from equipoise.store.digests import digest_once

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    Gathered = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]

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


def save_checkpoint(
    folder: str | Path,
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    optimizer: "torch.optim.Optimizer",
    epoch: int,
    step: int,
    mean_learning_rate: float,
    fingerprint: str,
    gathered: "Gathered | None" = None,
) -> None:
    """Writes a whole epoch checkpoint to `folder`, replacing what was there. Raises `KeyError` for a parameter without moments.

    fingerprint: of the training's inputs (`warm_up_fingerprint`). gathered: adapter and moments where they are spread over processes.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_adapter(part, model, tokenizer, gathered and gathered[0])
    save_file(gathered[1] if gathered else adam_moments(model, optimizer), part / "moments.safetensors")
    group = optimizer.param_groups[0]
    state = {
        "epoch": epoch,
        "step": step,
        "mean_learning_rate": mean_learning_rate,
        "beta1": group["betas"][0],
        "beta2": group["betas"][1],
        "eps": group["eps"],
        "fingerprint": fingerprint,
        "files": folder_digests(part),
    }
    (part / "state.json").write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    publish_folder(part, folder)


def gather(model: "PeftModel", optimizer: "torch.optim.Optimizer") -> "Gathered":
    """The whole adapter and its moments, on the CPU; where parameters are spread over processes, all of these call it together."""
    return gather_adapter(model), adam_moments(model, optimizer)


def gather_adapter(model: "PeftModel") -> "dict[str, torch.Tensor]":
    """The adapter's whole parameters on the CPU, by their name in the model; called as `gather`."""
    return {name: _whole(each).cpu() for name, each in model.named_parameters() if ".lora_" in name}


def _whole(tensor: "torch.Tensor") -> "torch.Tensor":
    tensor = tensor.detach()
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def save_adapter(
    folder: Path, model: "PeftModel", tokenizer: "PreTrainedTokenizerBase", weights: "dict[str, torch.Tensor] | None" = None
) -> None:
    """Adapter weights (safetensors), adapter_config.json and the tokenizer with the chat template. weights: of `gather_adapter`."""
    model.save_pretrained(folder, safe_serialization=True, state_dict=weights)
    _in_fixed_order(folder / "adapter_config.json")
    (folder / "README.md").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _in_fixed_order(path: Path) -> None:
    """PEFT writes `target_modules` from a set, in an order that changes from process to process."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["target_modules"] = sorted(values["target_modules"])
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def publish_folder(part: Path, folder: Path) -> None:
    """Syncs every file of `part` and renames it to `folder`, so that `folder` is whole whenever it exists."""
    for path in part.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    sync_folder(part)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    sync_folder(folder.parent)


def adam_moments(model: "PeftModel", optimizer: "torch.optim.Optimizer") -> dict[str, "torch.Tensor"]:
    """Adam's moments by saved name: `exp_avg.<name>` and `exp_avg_sq.<name>`, float32 on the CPU."""
    moments = {}
    for name, parameter in lora_parameters(model).items():
        state = optimizer.state[parameter]
        for moment in ("exp_avg", "exp_avg_sq"):
            moments[f"{moment}.{name}"] = _whole(state[moment]).float().cpu().contiguous().clone()
    return moments


def folder_digests(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, by name."""
    return {path.name: file_digest(path) for path in sorted(Path(folder).iterdir()) if path.is_file()}


def whole_state(folder: str | Path, fingerprint: str) -> dict[str, Any] | None:
    """The `state.json` of an epoch checkpoint that is whole and was made from inputs of this fingerprint, else None."""
    try:
        state = json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))
        if state["fingerprint"] != fingerprint:
            return None
        digests = folder_digests(folder)
    except (OSError, ValueError, KeyError, TypeError):  # missing, another process is removing it, or written by an earlier version
        return None
    digests.pop("state.json")
    return state if digests == state["files"] else None


def adapter_identity(folder: str | Path) -> dict[str, Any]:
    """What identifies an adapter in fingerprints: its weights' digest and its shape, not the path of its base."""
    folder = Path(folder)
    if not (folder / "adapter_model.safetensors").is_file() or not (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder}: no epoch checkpoint (adapter_model.safetensors and adapter_config.json); run warm_up")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    shape = {key: sorted(config[key]) if isinstance(config.get(key), list) else config.get(key) for key in ADAPTER_KEYS}
    return {"weights": digest_once(folder / "adapter_model.safetensors"), "config": shape}


def adapted_patterns(folder: str | Path) -> dict[str, int]:
    """What the adapter saved in a folder is attached to: names with the layer's number left open, and in how many layers."""
    from safetensors import safe_open

    with safe_open(Path(folder) / "adapter_model.safetensors", framework="pt") as file:
        return patterns(name.removeprefix(WRAPPED) for name in adapted_names(file.keys()))


def swap_adapter(model: "PeftModel", folder: str | Path) -> None:
    """Puts the weights of another checkpoint of the same adapter into `model`, in place. Raises `UserError` where they do not fit."""
    import torch
    from safetensors.torch import load_file

    refuse_other_tensors(model, saved_shapes(folder), folder)
    saved = load_file(Path(folder) / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in lora_parameters(model).items():
            parameter.copy_(saved[name])
    refuse_non_finite_weights(model, folder)
