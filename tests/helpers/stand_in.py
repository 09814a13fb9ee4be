"""GPUs' stand-ins that compute: their tensors say `cuda:0` or another number and lie in the host's memory; what a GPU refuses they refuse.

A `StandIn` wraps a tensor of the CPU. Operations run on what is wrapped, so that results are right and gradients flow; an operation that
mixes wrapped and plain tensors raises as CUDA does, plain ones without axes excepted (CUDA takes them too). Whatever makes the processor
wait for a GPU (`.cpu()`, `.item()`, a mask that picks elements, a copy from the host) is counted by kind and place in the program.
"""

import sys
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map

from helpers.places import REPOSITORY

GPU = torch.device("cuda", 0)
aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense: "item",
    aten.nonzero: "nonzero",
    aten.masked_select: "mask",
    aten.equal: "equal",
    aten.unique_dim: "unique",
}
OWN = str(REPOSITORY / "workflow" / "equipoise")
TRANSFERS: Counter = Counter()
"""How often (kind, place) happened; a place is a file and function of the project, else of the library that calls torch."""


def _place() -> str:
    frames = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
    own = [frame for frame in frames if frame.filename.startswith(OWN)]
    frame = own[-1] if own else next(frame for frame in reversed(frames) if f"{Path('torch')}/" not in frame.filename)
    return f"{Path(frame.filename).name}:{frame.name}"


def _count(kind: str) -> None:
    TRANSFERS[kind, _place()] += 1


class StandIn(torch.Tensor):
    """A tensor on a stand-in; `_held` is what it wraps."""

    @staticmethod
    def __new__(cls, held: torch.Tensor, place: torch.device = GPU):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=held.device
        )

    def __init__(self, held: torch.Tensor, place: torch.device = GPU):
        self._held, self._place = held, place

    device = property(lambda self: self._place)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def untyped_storage(self):
        return self._held.untyped_storage()

    def data_ptr(self):
        return self._held.data_ptr()

    def __repr__(self, *, tensor_contents=None):
        return f"StandIn({self._held!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), named=None):
        named = named or {}
        place = _refuse_mixed(function, arguments, named)
        known = {id(each._held): each for each in tree_iter((arguments, named)) if isinstance(each, StandIn)}
        held_arguments, held_named = tree_map(lambda each: each._held if isinstance(each, StandIn) else each, (arguments, named))
        if function is aten.bmm.dtype:  # the CPU has no such kernel
            return StandIn(torch.bmm(*(each.to(held_arguments[2]) for each in held_arguments[:2])), place)
        results = function(*held_arguments, **held_named)
        if function is aten._local_scalar_dense.default:
            return results
        plain_target = function is aten.copy_.default and not isinstance(arguments[0], StandIn)
        if plain_target:
            return arguments[0]
        return tree_map(lambda each: _wrapped(each, known, place) if isinstance(each, torch.Tensor) else each, results)


def _wrapped(result: torch.Tensor, known: dict[int, StandIn], place: torch.device) -> StandIn:
    """The stand-in of a result; of one that was changed in place, the one that there is."""
    return known[id(result)] if id(result) in known else StandIn(result, place)


def _refuse_mixed(function, arguments, named) -> torch.device:
    """The device that an operation runs on."""
    places = [each.device for each in tree_iter((arguments, named)) if isinstance(each, StandIn) and (each.dim() or len(each.shape))]
    place = places[0] if places else GPU
    if function.overloadpacket in WAITS:
        _count(WAITS[function.overloadpacket])
    if function.overloadpacket is aten.copy_:
        if not all(isinstance(each, StandIn) for each in arguments[:2]):
            _count("copy")
        return place
    indices = ()
    if function.overloadpacket in (aten.index, aten.index_put, aten.index_put_):
        indices = tuple(each for each in arguments[1] if each is not None)
        if any(each.dtype in (torch.bool, torch.uint8) for each in indices):
            _count("mask")
        if not all(isinstance(each, StandIn) for each in indices):
            _count("copy")  # CUDA takes indices of the host, and copies them
    for each in tree_iter((arguments, named)):
        if isinstance(each, torch.Tensor) and each.dim() and each.device != place and not any(each is index for index in indices):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {place} and {each.device}! "
                f"({function} at {_place()})"
            )
    return place


class _Move(torch.autograd.Function):
    """To the stand-in or back to the host; a gradient goes the other way."""

    @staticmethod
    def forward(ctx, tensor, device):
        ctx.origin = tensor.device
        held = tensor._held if isinstance(tensor, StandIn) else tensor
        return StandIn(held.clone(), device) if device.type == "cuda" else held.clone()

    @staticmethod
    def backward(ctx, gradient):
        return _Move.apply(gradient, ctx.origin), None


def moved(tensor: torch.Tensor, device: torch.device | None) -> torch.Tensor:
    """`tensor` on `device` (none: where it is)."""
    if device is not None and device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
    if device is None or device == tensor.device:
        return tensor
    if device.type == tensor.device.type:
        _count("across")
    else:
        _count("to host" if isinstance(tensor, StandIn) else "to device")
    return _Move.apply(tensor, device)


def _asked(value) -> torch.device | None:
    if isinstance(value, torch.device):
        return value
    if isinstance(value, str):
        return torch.device(value)
    return torch.device("cuda", value) if isinstance(value, int) and not isinstance(value, bool) else None


class OnStandIn(TorchFunctionMode):
    """Within: `device="cuda"` is the stand-in, for new tensors and for moves."""

    def __torch_function__(self, function, types, arguments=(), named=None):
        named = dict(named or {})
        name = getattr(function, "__name__", "")
        own = arguments[0] if arguments and isinstance(arguments[0], torch.Tensor) else None
        if own is not None and function in (torch.Tensor.cpu, torch.Tensor.cuda):
            return moved(own, torch.device(name))
        if own is not None and function is torch.Tensor.to:
            return self._to(own, arguments[1:], named)
        if isinstance(own, StandIn) and name in ("numpy", "__array__"):
            raise TypeError(f"can't convert {GPU} device type tensor to numpy. Use Tensor.cpu() first. ({_place()})")
        if isinstance(own, StandIn) and name == "tolist":
            _count("item")
            return own._held.tolist()
        named.pop("pin_memory", None)  # there is no allocator of such memory here
        device = named.get("device")
        if device is not None and _asked(device) is not None and _asked(device).type == "cuda":
            if own is not None and isinstance(own, StandIn) and function is not torch.as_tensor:
                del named["device"]  # new_zeros and zeros_like: where their tensor is
                return function(*arguments, **named)
            result = function(*arguments, **(named | {"device": "cpu"}))
            if arguments and isinstance(arguments[0], list | tuple) and function in (torch.tensor, torch.as_tensor):
                _count("to device")
            place = torch.device("cuda", _asked(device).index or 0)
            return StandIn(result.detach(), place).requires_grad_(result.requires_grad)
        return function(*arguments, **named)

    def _to(self, own, arguments, named):
        other = next((each for each in arguments if isinstance(each, torch.Tensor)), named.pop("other", None))
        device = other.device if other is not None else _asked(named.pop("device", None))
        kept = [] if other is None else [other.dtype]
        for each in arguments:
            if isinstance(each, torch.dtype):
                kept.append(each)
            elif device is None and not isinstance(each, bool | torch.Tensor):
                device = _asked(each)
        result = moved(own, device)
        kind = named.get("dtype") or (kept[0] if kept else None)
        return result.to(kind) if kind is not None and kind != result.dtype else result


def put(module: torch.nn.Module) -> torch.nn.Module:
    """`module` with every parameter and buffer on the stand-in, shared ones still shared."""
    seen: dict[int, torch.Tensor] = {}
    for each in module.modules():
        for name, parameter in each._parameters.items():
            if parameter is not None and not isinstance(parameter, StandIn):
                if id(parameter) not in seen:
                    seen[id(parameter)] = torch.nn.Parameter(StandIn(parameter.data), requires_grad=parameter.requires_grad)
                each._parameters[name] = seen[id(parameter)]
        for name, buffer in each._buffers.items():
            if buffer is not None and not isinstance(buffer, StandIn):
                each._buffers[name] = StandIn(buffer)
    return module


@contextmanager
def stand_in_gpu(monkeypatch):
    """Within: every stage finds a GPU, the stand-in, and loads its base there; yields the count of what made the processor wait."""
    from equipoise.modelling import base

    load = base.load_base
    for module in [each for name, each in sys.modules.items() if name.startswith("equipoise.")]:
        if getattr(module, "resolve_device", None) is base.resolve_device:
            monkeypatch.setattr(module, "resolve_device", lambda device: GPU)
        if getattr(module, "load_base", None) is load:
            monkeypatch.setattr(module, "load_base", lambda model, precision, device, *how: put(load(model, precision, "cpu", *how)))
    run = torch.autograd._engine_run_backward

    def run_within(*arguments, **named):
        with OnStandIn():  # torch has left the outer one by then
            return run(*arguments, **named)

    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # wrapped tensors have none
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", str(GPU))
    for module in ("state", "big_modeling"):
        monkeypatch.setattr(f"accelerate.{module}.check_cuda_p2p_ib_support", lambda: True)  # asks nvidia-smi
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.autograd, "_engine_run_backward", run_within)
    TRANSFERS.clear()
    # a plain parameter cannot become a wrapped one in place
    monkeypatch.setattr(torch, "_has_compatible_shallow_copy_type", lambda old, new: isinstance(old, StandIn) == isinstance(new, StandIn))
    with OnStandIn():
        yield TRANSFERS
