"""`training.sharding: fsdp`: every parameter of base and adapter lies in equal parts in the training processes (torch's fully_shard).

The first process alone reads the base, on the host; the others have its shapes, on `meta`, and get the numbers a decoder layer at a time,
of which each keeps its part. A decoder layer is put together while it computes. Adapter and moments are gathered where a checkpoint is
written, which all processes do together; the files are those of an unsharded training.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from equipoise.modelling.adapter import lora_parameters, saved_name
from equipoise.modelling.checkpoint import adam_moments
from equipoise.modelling.targets import decoder_layers
from equipoise.progress import log

if TYPE_CHECKING:
    from peft import PeftModel

STATE = "optimizer.safetensors"


def shard(model: "PeftModel", device: torch.device) -> None:
    """Spreads `model` over all processes of the group that is up, in place, a decoder layer at a time.

    model: whole in the first process, whose numbers all take; of the others' only names, shapes and formats count. device: of this process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for part in (*decoder_layers(model.get_base_model()).values(), model):
        _take_from_first(part, device)
        fully_shard(part, mesh=mesh)
    own, whole = sharded_bytes(model)
    log(f"fsdp: {own / 1e9:.3g} of {whole / 1e9:.3g} GB of parameters in each of {mesh.size()} processes")


def _take_from_first(part: torch.nn.Module, device: torch.device) -> None:
    """Puts the first process's parameters and buffers in place of those of `part`, on `device`; what is spread already stays as it is.

    A parameter that two modules share stays one.
    """
    taken: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # old and new; an old one that were gone might leave its id to another
    for module in part.modules():
        parameters = module.named_parameters(recurse=False, remove_duplicate=False)
        for name, own in [*parameters, *module.named_buffers(recurse=False, remove_duplicate=False)]:
            if isinstance(own, DTensor):
                continue
            if id(own) not in taken:
                whole = _from_first(own.detach(), device)
                taken[id(own)] = own, torch.nn.Parameter(whole, own.requires_grad) if isinstance(own, torch.nn.Parameter) else whole
            setattr(module, name, taken[id(own)][1])


def _from_first(own: torch.Tensor, device: torch.device) -> torch.Tensor:
    first = torch.distributed.get_rank() == 0
    whole = own.to(device).contiguous() if first else torch.empty(own.shape, dtype=own.dtype, device=device)
    torch.distributed.broadcast(whole.view(-1).view(torch.uint8), src=0)  # as bytes: gloo does not know every format
    return whole


def sharded_bytes(model: torch.nn.Module) -> tuple[int, int]:
    """Bytes of the parameters in this process, and of the whole parameters."""
    parts = [(each.to_local() if isinstance(each, DTensor) else each, each) for each in model.parameters()]
    return sum(own.numel() * own.element_size() for own, _ in parts), sum(each.numel() * each.element_size() for _, each in parts)


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether `shard` has been here."""
    return any(isinstance(each, DTensor) for each in model.parameters())


def save_moments(model: "PeftModel", optimizer: torch.optim.Optimizer, folder: Path, writes: bool) -> None:
    """Gathers Adam's moments, by saved name, in all processes, and writes them with steps and rates in the one that `writes`."""
    from safetensors.torch import save_file

    moments = adam_moments(model, optimizer)
    if writes:
        for name, parameter in lora_parameters(model).items():
            moments[f"step.{name}"] = optimizer.state[parameter]["step"].clone().reshape(1)
        rates = [[group["lr"], group["initial_lr"]] for group in optimizer.param_groups]
        save_file(moments | {"rates": torch.tensor(rates, dtype=torch.float64)}, folder / STATE)


def load_moments(model: "PeftModel", optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Takes over what `save_moments` wrote."""
    from safetensors.torch import load_file

    saved = load_file(folder / STATE)
    for name, parameter in lora_parameters(model).items():
        state = {moment: _spread(saved[f"{moment}.{name}"], parameter) for moment in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": saved[f"step.{name}"].reshape(())} | state
    for group, (rate, initial) in zip(optimizer.param_groups, saved["rates"].tolist(), strict=True):
        group["lr"], group["initial_lr"] = rate, initial


def load_adapter_weights(model: "PeftModel", folder: Path) -> None:
    """Takes over the adapter saved in `folder`."""
    from safetensors.torch import load_file

    saved = load_file(folder / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if saved_name(name) in saved:
                parameter.copy_(_spread(saved[saved_name(name)], parameter))


def _spread(whole: torch.Tensor, like: DTensor) -> DTensor:
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)
