"""Epoch checkpoints as the gradient stages need them: the adapter's weights, Adam's moments, and what identifies both."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.errors import UserError
from equipoise.gradients.adam import Moments
from equipoise.modelling.adapter import load_adapter, lora_parameters
from equipoise.store.manifest import file_digest

if TYPE_CHECKING:
    import torch
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


def moments_identity(folder: str | Path) -> dict[str, str]:
    """What identifies Adam's moments in fingerprints: the digests of their files."""
    files = [Path(folder) / name for name in ("moments.safetensors", "state.json")]
    if not files[0].is_file():
        raise UserError(f"{files[0]}: missing Adam moments; run warm_up, or set gradients.estimator to one that needs none")
    return {file.name: file_digest(file) for file in files}


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


def load_moments(folder: str | Path, shapes: dict[str, tuple[int, ...]]) -> Moments:
    """Adam's moments of a checkpoint for parameters of `shapes` (by saved name).

    Raises `UserError` naming a moment that is missing or has another shape.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    saved = load_file(folder / "moments.safetensors")
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    first = {name: _moment(saved, f"exp_avg.{name}", shape, folder) for name, shape in shapes.items()}
    second = {name: _moment(saved, f"exp_avg_sq.{name}", shape, folder) for name, shape in shapes.items()}
    return Moments(first, second, state["step"], state["beta1"], state["beta2"], state["eps"])


def _moment(saved: dict[str, "torch.Tensor"], key: str, shape: tuple[int, ...], folder: Path) -> "torch.Tensor":
    if key not in saved:
        raise UserError(f"{folder}: no moment {key}; the checkpoint and the adapter do not belong together")
    if tuple(saved[key].shape) != tuple(shape):
        raise UserError(f"{folder}: moment {key} is {list(saved[key].shape)}, its parameter is {list(shape)}")
    return saved[key].float()
