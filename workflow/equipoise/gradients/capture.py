"""Per-example gradients of LoRA pairs in one batched backward pass, without summed gradients and without hooks.

For the length of a `Capture`, each adapted linear layer runs one autograd function: W x, by its base's own forward, + s B A x. Its
backward pass gives the gradient of its input and, on the way, hands the per-example factors to a sink: dA_i = (s B^T g_i)^T x_i and
dB_i = g_i^T (s A x_i), g the gradient of the layer's output. A sink turns one layer's factors into what it keeps and lets go of them, so
that memory never holds p numbers per example; under activation checkpointing the forward pass is simply run again. No weight gets a
gradient: the graph starts at an anchor, an empty leaf given to every adapted layer, so that nothing below the first is differentiated.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from equipoise.errors import UserError
from equipoise.modelling.adapter import WRAPPED, saved_name
from equipoise.modelling.quantised import computes_in, is_in_four_bits, refuse_eight_bits, whole_weight
from equipoise.modelling.targets import KEY, is_routed

if TYPE_CHECKING:
    from peft import PeftModel

PLAIN = "a plain LoRA adapter of linear layers"


@dataclass(eq=False)
class Layer:
    """One adapted linear layer: its base and its pair, A [r, in] and scaled B [out, r], in the number format of the forward pass.

    transposed: the base's parameter is [in, out] (GPT-2). routed: it may see some tokens only, in any order (experts).
    """

    name: str
    module: torch.nn.Module
    routed: bool
    transposed: bool
    base: torch.nn.Module
    a: torch.Tensor
    b: torch.Tensor
    scale: float

    @property
    def name_a(self) -> str:
        """Saved name of A."""
        return f"{self.name}.lora_A.weight"

    @property
    def name_b(self) -> str:
        """Saved name of B."""
        return f"{self.name}.lora_B.weight"


@dataclass(frozen=True)
class Factors:
    """What one layer's backward pass holds of each example: input x [n, t, in], hidden s A x [n, t, r], output gradient g [n, t, out],
    hidden gradient s B^T g [n, t, r]."""

    x: torch.Tensor
    hidden: torch.Tensor
    g: torch.Tensor
    g_hidden: torch.Tensor


Sink = Callable[[Layer, Factors], None]


class _Pair(torch.autograd.Function):
    """W x + b + s B A x; the sink gets the factors of the per-example gradients in the backward pass."""

    @staticmethod
    def forward(ctx, x, anchor, layer, capture):
        flat = x.reshape(-1, x.shape[-1])
        hidden = flat @ layer.a.T
        out = layer.base.forward(flat).addmm_(hidden, layer.b.T)
        ctx.layer, ctx.capture = layer, capture
        capture.seen.setdefault(layer.name, []).append(x.shape)
        ctx.save_for_backward(x, hidden.view(*x.shape[:-1], -1))
        return torch.ops.aten._unsafe_view(out, [*x.shape[:-1], out.shape[-1]])  # no view: some models add to it in place

    @staticmethod
    def backward(ctx, g):
        layer = ctx.layer
        x, hidden = ctx.saved_tensors
        flat = g.reshape(-1, g.shape[-1])
        g_hidden = flat @ layer.b
        ctx.capture.take(layer, Factors(x, hidden * layer.scale, flat.view(g.shape), g_hidden.view(hidden.shape)))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        return (flat @ whole_weight(layer.base, flat.dtype)).addmm_(g_hidden, layer.a).view(x.shape), None, None, None


class Capture:
    """Puts the autograd function into every adapted layer of `model` for as long as the context lasts."""

    def __init__(self, model: "PeftModel", sink: Sink | None = None):
        """Raises `UserError` naming the first thing in the adapter whose gradient this engine does not support."""
        self._adapter = refuse_unsupported(model)
        self.sink, self.examples = sink, 1
        self.seen: dict[str, list[torch.Size]] = {}
        self._taken: set[str] = set()
        self._home = model.get_base_model().get_input_embeddings().weight.device
        self._anchor = torch.zeros(0, device=model.device, requires_grad=True)
        self.layers = [_layer(name, module, self._adapter) for name, module in adapted_layers(model)]

    @property
    def routed(self) -> bool:
        """Whether some layer sees tokens without their examples, so that each example needs a pass of its own."""
        return any(layer.routed for layer in self.layers)

    def start(self, examples: int, sink: Sink) -> None:
        """Begins a batch of `examples`, whose factors go to `sink`."""
        self.sink, self.examples = sink, examples
        self.seen.clear()
        self._taken.clear()

    def take(self, layer: Layer, factors: Factors) -> None:
        """Hands a layer's factors on; what has lost its axis of examples (tokens flattened in their order) gets it back."""
        self._taken.add(layer.name)
        parts = (factors.x, factors.hidden, factors.g, factors.g_hidden)
        # a base may lie on several devices; rows are added up on the first one, in the order that they have on a single one
        parts = (part.reshape(self.examples, -1, part.shape[-1]).to(self._home) for part in parts)
        self.sink(layer, Factors(*parts))

    def finish(self) -> None:
        """Gives layers that no token came to their gradient, which is zero: Adam's step for it is not."""
        for layer in self.layers:
            if layer.name not in self._taken:
                sizes = (layer.a.shape[1], layer.a.shape[0], layer.b.shape[0], layer.a.shape[0])
                self.sink(layer, Factors(*(layer.a.new_zeros(self.examples, 1, size, device=self._home) for size in sizes)))

    def refuse_unseen(self, batch: int, length: int) -> None:
        """Raises `UserError` where the pass over [batch, length] tokens did not run each layer once with every token in its place."""
        for layer in self.layers:
            shapes = self.seen.get(layer.name, [])
            if layer.routed:
                continue
            if len(shapes) != 1:
                raise UserError(f"adapter: {layer.name} ran {len(shapes)} times in one forward pass, not once; leave it out of {KEY}")
            if shapes[0][0] != batch and tuple(shapes[0][:-1]) != (batch * length,):
                raise UserError(f"adapter: {layer.name} sees {list(shapes[0])} of {batch} x {length} tokens; leave it out of {KEY}")

    def refresh(self) -> None:
        """Takes over the adapter's weights after they were changed in place."""
        self.layers = [_layer(layer.name, layer.module, self._adapter) for layer in self.layers]
        for layer in self.layers:
            if "forward" in layer.module.__dict__:
                layer.module.forward = self._forward(layer)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shape of every adapter parameter, by saved name, sorted."""
        factors = {layer.name_a: layer.a for layer in self.layers} | {layer.name_b: layer.b for layer in self.layers}
        return {name: tuple(factors[name].shape) for name in sorted(factors)}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within: the model's forward pass runs through the autograd function."""
        try:
            for layer in self.layers:
                layer.module.forward = self._forward(layer)
            yield
        finally:
            for layer in self.layers:
                layer.module.__dict__.pop("forward", None)

    def _forward(self, layer: Layer) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: _Pair.apply(x, self._anchor, layer, self)


def adapted_layers(model: "PeftModel") -> Iterator[tuple[str, torch.nn.Module]]:
    """Adapted layers in the model's order, each with its saved name (without `.lora_A.weight`)."""
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield saved_name(f"{name}.").removesuffix("."), module


def _layer(name: str, module: torch.nn.Module, adapter: str) -> Layer:
    base, scale = module.get_base_layer(), float(module.scaling[adapter])
    kind = computes_in(base)
    a = module.lora_A[adapter].weight.detach().to(kind)
    b = (module.lora_B[adapter].weight.detach() * scale).to(kind)
    return Layer(name, module, is_routed(name.removeprefix(WRAPPED)), isinstance(base, Conv1D), base, a, b, scale)


def refuse_unsupported(model: "PeftModel") -> str:
    """The name of the model's one adapter.

    Raises `UserError` naming what is not a plain, unmerged LoRA pair at a linear layer, or a dropout that is on.
    """
    from peft import PeftType
    from peft.tuners.lora import Linear

    if len(model.peft_config) != 1:
        raise UserError(f"adapter: found {sorted(model.peft_config)}; influence gradients are of one adapter, load one only")
    ((adapter, config),) = model.peft_config.items()
    if config.peft_type != PeftType.LORA:
        raise UserError(f"adapter: kind {config.peft_type.value} is not supported; train {PLAIN}")
    for option in ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "target_parameters"):
        if getattr(config, option, None):
            raise UserError(f"adapter_config.json: {option} is not supported by influence gradients; train {PLAIN}")
    if config.bias != "none":
        raise UserError(f"adapter_config.json: bias {config.bias!r} is not supported by influence gradients; write bias: none")
    head = model.get_base_model().get_output_embeddings()
    for name, module in adapted_layers(model):
        if module is head:
            raise UserError(f"adapter: {name} is the output layer, which is not supported; leave it out of lora.target_modules")
        refuse_eight_bits(name, module.get_base_layer())
        plain = type(module) is Linear and _is_plain(module.get_base_layer())
        if not plain and not (type(module).__name__ == "Linear4bit" and is_in_four_bits(module.get_base_layer())):
            kind = f"{type(module).__name__} on {type(module.get_base_layer()).__name__}"
            raise UserError(f"adapter: {name} is {kind}, not a LoRA pair at a linear layer; leave it out of lora.target_modules")
        if module.lora_variant:
            variant = type(next(iter(module.lora_variant.values()))).__name__
            raise UserError(f"adapter: {name} uses {variant}, which is not supported by influence gradients; train {PLAIN}")
        if module.merged or module.disable_adapters or list(module.active_adapters) != [adapter]:
            raise UserError(f"adapter: {name} is merged, disabled or inactive; load it unmerged and active")
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and module.training and module.p > 0:
            raise UserError(f"model: dropout {name} is on; influence gradients are of the model without dropout, call eval()")
    return adapter


def _is_plain(base: torch.nn.Module) -> bool:
    """Whether a layer computes W x + b, found by trying it: subclasses of linear layers may do more."""
    if type(base) in (torch.nn.Linear, Conv1D):
        return True
    if not isinstance(base, torch.nn.Linear) or base.weight.dim() != 2:
        return False
    with torch.no_grad():
        x = torch.linspace(-1, 1, 2 * base.weight.shape[1], device=base.weight.device, dtype=base.weight.dtype).view(2, -1)
        found, expected = base(x), F.linear(x, base.weight, base.bias)
    return isinstance(found, torch.Tensor) and found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-2, atol=1e-2)
