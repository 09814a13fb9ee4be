"""The Adam map: a pool example's gradient as the step that Adam would take with it (method.md, "Gradients").

less:  m' / sqrt(v' + eps), no bias correction, eps inside the root (LESS and the paper)
torch: m^ / (sqrt(v^) + eps) with bias correction, as torch's Adam computes its next step
with m' = b1 m + (1 - b1) g and v' = b2 v + (1 - b2) g^2.

The moments m and v come from a checkpoint, by saved parameter name: one of ours, or a stock HF Trainer's `optimizer.pt`.
"""

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError  # what torch.load(weights_only=True) raises for anything but tensors
from typing import TYPE_CHECKING, Any, Literal

from equipoise.errors import UserError, first_line
from equipoise.modelling.adapter import lora_parameters, saved_name
from equipoise.store.digests import digest_once

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

OURS, STOCK = ("moments.safetensors", "state.json"), ("optimizer.pt",)


@dataclass(frozen=True)
class Moments:
    """Adam's state at a checkpoint: float32 tensors by saved name, shaped as the parameters; `step` steps were taken."""

    first: dict[str, "torch.Tensor"]
    second: dict[str, "torch.Tensor"]
    step: int
    beta1: float
    beta2: float
    eps: float


@dataclass(frozen=True)
class Constants:
    """What one parameter's map needs: (first + a g) / (sqrt(second + b g^2) + eps), elementwise, first and second float32 [numel]."""

    first: "torch.Tensor"
    second: "torch.Tensor"
    a: float
    b: float
    eps: float

    def apply(self, gradient: "torch.Tensor") -> "torch.Tensor":
        """The map of float32 [n, numel], one rounding per operation, in the order of the CPU kernel."""
        inside = self.second + (gradient * gradient) * self.b
        # torch's float32 root on CPUs (MKL) is not correctly rounded, CUDA's and numba's are
        root = inside.double().sqrt().float() if inside.device.type == "cpu" else inside.sqrt()
        return (self.first + gradient * self.a) / (root + self.eps)


def adam_constants(moments: Moments, form: Literal["less", "torch"], device: "torch.device | str") -> dict[str, Constants]:
    """Constants of every parameter by saved name; computed in float64, kept in float32."""
    b1, b2 = moments.beta1, moments.beta2
    correct_1 = 1.0 - b1 ** (moments.step + 1) if form == "torch" else 1.0
    correct_2 = 1.0 - b2 ** (moments.step + 1) if form == "torch" else 1.0
    inside, outside = (0.0, moments.eps) if form == "torch" else (moments.eps, 0.0)
    return {
        name: Constants(
            first=(first.double() * (b1 / correct_1)).float().flatten().to(device),
            second=(moments.second[name].double() * (b2 / correct_2) + inside).float().flatten().to(device),
            a=(1.0 - b1) / correct_1,
            b=(1.0 - b2) / correct_2,
            eps=outside,
        )
        for name, first in moments.first.items()
    }


def moments_identity(folder: str | Path) -> dict[str, str]:
    """What identifies Adam's moments in fingerprints: the digests of their files. Raises `UserError` when there are none."""
    return {name: digest_once(Path(folder) / name) for name in _files(Path(folder))}


def load_moments(folder: str | Path, model: "PeftModel") -> Moments:
    """Adam's moments of a checkpoint for the adapter's parameters.

    Raises `UserError` naming a moment that is missing or has another shape.
    """
    folder = Path(folder)
    saved, state = _ours(folder) if _files(folder) == OURS else _stock(folder, model)
    shapes = {name: tuple(parameter.shape) for name, parameter in lora_parameters(model).items()}
    expected = {f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq") for name in shapes}
    for name in sorted(saved.keys() - expected):
        raise UserError(f"{folder}: moment {name} is of no parameter; the checkpoint and the adapter do not belong together")
    first, second = (
        {name: _moment(saved, f"{kind}.{name}", shape, folder) for name, shape in shapes.items()} for kind in ("exp_avg", "exp_avg_sq")
    )
    return Moments(first, second, state["step"], state["beta1"], state["beta2"], state["eps"])


def _files(folder: Path) -> tuple[str, ...]:
    for files in (OURS, STOCK):
        if all((folder / name).is_file() for name in files):
            return files
    raise UserError(f"{folder}: no Adam moments ({' and '.join(OURS)}, or {STOCK[0]}); run warm_up, or write gradients.estimator: tracin")


def _moment(saved: dict[str, "torch.Tensor"], key: str, shape: tuple[int, ...], folder: Path) -> "torch.Tensor":
    if key not in saved:
        raise UserError(f"{folder}: no moment {key}; the checkpoint and the adapter do not belong together")
    if tuple(saved[key].shape) != shape:
        raise UserError(f"{folder}: moment {key} has shape {list(saved[key].shape)}, its parameter {list(shape)}")
    return saved[key].float()


def _ours(folder: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    from safetensors.torch import load_file

    return load_file(folder / OURS[0]), json.loads((folder / OURS[1]).read_text(encoding="utf-8"))


def _stock(folder: Path, model: "PeftModel") -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """HF Trainer numbers parameters group by group: first those with weight decay, then those without, each in the model's order."""
    import torch

    try:
        optimizer = torch.load(folder / STOCK[0], map_location="cpu", weights_only=True)
        groups, states = optimizer["param_groups"], optimizer["state"]
        ids = [[int(number) for number in group["params"]] for group in groups]
    except (KeyError, TypeError, ValueError, RuntimeError, UnpicklingError) as error:
        raise UserError(f"{folder / STOCK[0]}: no torch optimizer's state ({first_line(error)}); save it with HF Trainer") from None
    names = _stock_order(model)
    if [len(part) for part in ids if part] != [len(part) for part in names if part]:
        sizes = " + ".join(str(len(part)) for part in names)
        saved_sizes = " + ".join(str(len(part)) for part in ids)
        raise UserError(f"{folder / STOCK[0]}: parameter groups of {saved_sizes}, the adapter's are {sizes}; they do not belong together")
    saved, steps = {}, set()
    for number, name in zip(chain.from_iterable(ids), chain.from_iterable(names), strict=True):
        state = states.get(number, {})
        saved |= {f"{kind}.{name}": state[kind] for kind in ("exp_avg", "exp_avg_sq") if kind in state}
        if "step" in state:
            steps.add(int(state["step"]))
    if len(steps) > 1:
        raise UserError(f"{folder / STOCK[0]}: parameters took different numbers of steps {sorted(steps)}, which Adam's map cannot mix")
    beta1, beta2 = groups[0]["betas"]
    return saved, {"step": max(steps, default=0), "beta1": beta1, "beta2": beta2, "eps": groups[0]["eps"]}


def _stock_order(model: "PeftModel") -> list[list[str]]:
    """Saved names of the adapter's parameters as HF Trainer groups them: with weight decay, without."""
    from transformers import Trainer

    decayed = set(Trainer.get_decay_parameter_names(None, model))
    adapter = lora_parameters(model).keys()
    names = [(name, saved_name(name)) for name, _ in model.named_parameters()]
    return [[saved for name, saved in names if saved in adapter and (name in decayed) == wanted] for wanted in (True, False)]
