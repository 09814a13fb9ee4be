"""Which linear maps of a base get an adapter: what `lora.target_modules` says, found in every decoder layer or refused."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from equipoise.config import Lora
from equipoise.config_keys import ALL_LINEAR, ATTENTION
from equipoise.errors import UserError
from equipoise.progress import log

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MIXERS = re.compile(r"attn|attention|mixer|mamba|ssm|conv|recurrent|rwkv|temporal_block|time_mix", re.IGNORECASE)
"""Names of the part of a layer that lets positions see each other, in transformers; a layer without one of them is refused."""
KEY = "lora.target_modules"


def adapted_modules(base: "PreTrainedModel", lora: Lora) -> list[str]:
    """Full names of the linear maps in decoder layers that `lora.target_modules` stands for, sorted.

    Without a look at what can carry an adapter (`carrying`), so that the meta device will do. Raises `UserError` for a name, or a layer,
    without a match.
    """
    layers = _linears_by_layer(base)
    if isinstance(lora.target_modules, str):
        chosen = {layer: [n for n in names if lora.target_modules == ALL_LINEAR or _mixes(n)] for layer, names in layers.items()}
        if lora.target_modules == ATTENTION:
            _refuse_layers_without(chosen, layers)
    else:
        chosen = {layer: [n for n in names if _is_named(n, lora.target_modules)] for layer, names in layers.items()}
        _refuse_unmatched(base, lora.target_modules, layers)
        _refuse_layers_without(chosen, layers)
    return sorted(f"{layer}.{name}" for layer, names in chosen.items() for name in names)


def carrying(base: "PreTrainedModel", lora: Lora) -> list[str]:
    """Those of `adapted_modules` that an adapter works on. What `attention` or `all-linear` leaves out is logged.

    Raises `UserError` for one that was named, and for a layer that is left with none.
    """
    names = adapted_modules(base, lora)
    lost = _unfit(base, names)
    if not lost:
        return names
    if not isinstance(lora.target_modules, str):
        name, reason = min(lost.items())
        raise UserError(f"{KEY}: {next(iter(patterns([name])))} cannot have an adapter: {reason}; leave it out")
    for pattern in patterns(lost):
        log(f"{KEY}: {lora.target_modules} leaves {pattern} out: {next(r for n, r in lost.items() if pattern in patterns([n]))}")
    layers = _linears_by_layer(base)
    _refuse_layers_without({layer: [n for n in names if n.startswith(f"{layer}.") and n not in lost] for layer in layers}, layers)
    return [name for name in names if name not in lost]


def _unfit(base: "PreTrainedModel", names: list[str]) -> dict[str, str]:
    """Modules an adapter beside which would be refused, put elsewhere or never used, with the reason."""
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    lost = dict.fromkeys(sorted(set(names) - _called(base, names)), "the model reads its weight without calling it")
    for name in names:
        config = LoraConfig(target_modules=shortest_names([name], base))
        asked = set(config.target_modules)
        try:
            LoraModel._check_target_module_compatiblity(None, config, base, name.rpartition(".")[2])
        except ValueError:
            lost[name] = f"PEFT refuses it in {type(base).__name__}, some of whose kernels read its weight"
        with suppress(ValueError):  # where it misses other names of fused experts
            convert_peft_config_for_transformers(config, base, None)
            if config.target_modules == asked:
                continue
        lost[name] = f"PEFT takes its name for the fused experts of {type(base).__name__}"
    return lost


def _called(base: "PreTrainedModel", names: list[str]) -> set[str]:
    """Those of `names` that a forward pass calls, as in training; experts in a list always count, as a token may go to any of them."""
    import torch

    called = {name for name in names if is_routed(name)}
    hooks = [base.get_submodule(name).register_forward_pre_hook(lambda *_, n=name: called.add(n)) for name in names]
    training = base.training
    try:
        with torch.no_grad():
            base.train()(input_ids=torch.arange(4, device=base.device)[None] % base.get_input_embeddings().num_embeddings, use_cache=False)
    except (NotImplementedError, RuntimeError):  # without weights, experts cannot be chosen
        if base.device.type != "meta":
            raise
        return set(names)
    finally:
        base.train(training)
        for hook in hooks:
            hook.remove()
    return called


def is_routed(name: str) -> bool:
    """Whether a module stands in a list within its layer, as experts do: it may see some tokens only, in any order."""
    return len(re.findall(r"\.\d+\.", name)) > 1


def shortest_names(chosen: Iterable[str], base: "PreTrainedModel") -> list[str]:
    """The shortest endings, as PEFT matches them, that fit the chosen modules and no other; the same for the same modules."""
    chosen = set(chosen)
    others = [name for name, _ in base.named_modules() if name not in chosen]
    found: set[str] = set()
    for name in chosen:
        parts = name.split(".")
        endings = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        found.add(next(e for e in endings if not any(o == e or o.endswith(f".{e}") for o in others)))
    return sorted(found)


def patterns(names: Iterable[str]) -> dict[str, int]:
    """Names of modules with the number of the decoder layer left open, and how many layers each stands in."""
    counts: dict[str, int] = {}
    for name in sorted(names):
        pattern = re.sub(r"\.\d+\.", ".*.", name, count=1)
        counts[pattern] = counts.get(pattern, 0) + 1
    return counts


def decoder_layers(base: "PreTrainedModel") -> dict[str, "torch.nn.Module"]:
    """The decoder's layers by name. Raises `UserError` for a model that is no stack of layers."""
    from torch.nn import ModuleList

    depth = base.config.get_text_config().num_hidden_layers
    stacks = [(name, module) for name, module in base.named_modules() if isinstance(module, ModuleList) and len(module) == depth]
    text = [(name, module) for name, module in stacks if "vision" not in name and "audio" not in name] or stacks
    if not text:
        raise UserError(f"model.base: {type(base).__name__} has no stack of {depth} layers, so that there is no place for adapters")
    name, stack = min(text, key=lambda found: found[0].count("."))
    return {f"{name}.{number}": layer for number, layer in enumerate(stack)}


def _linears_by_layer(base: "PreTrainedModel") -> dict[str, list[str]]:
    """Linear maps below each decoder layer, by the layer's name."""
    return {name: [inner for inner, module in layer.named_modules() if is_linear(module)] for name, layer in decoder_layers(base).items()}


def is_linear(module: "torch.nn.Module") -> bool:
    """Whether PEFT puts a pair beside it: a linear map, or GPT-2's with its weight transposed. A router that returns more is none."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D) or (isinstance(module, Linear) and not re.search("router", type(module).__name__, re.IGNORECASE))


def _mixes(name: str) -> bool:
    """Whether a linear map, named below its layer, belongs to attention or what stands in its place."""
    parts = name.split(".")
    return len(parts) > 1 and bool(MIXERS.search(parts[0]))


def _is_named(name: str, wanted: Iterable[str]) -> bool:
    return any(name == one or name.endswith(f".{one}") for one in wanted)


def _refuse_layers_without(chosen: dict[str, list[str]], layers: dict[str, list[str]]) -> None:
    bare = [layer for layer, names in chosen.items() if not names]
    if bare:
        there = ", ".join(sorted(layers[bare[0]])) or "none"
        raise UserError(
            f"{KEY}: nothing matches in {_listed(bare)}, whose linear maps are: {there}; name some of them too, or {ALL_LINEAR}"
        )


def _refuse_unmatched(base: "PreTrainedModel", wanted: Iterable[str], layers: dict[str, list[str]]) -> None:
    """Raises for a name that is nowhere, or missing in a layer that has the part (`self_attn`, `mlp`) it stands in elsewhere."""
    known = sorted({name.rpartition(".")[2] for names in layers.values() for name in names})
    for one in wanted:
        places = {layer: [name for name in names if _is_named(name, [one])] for layer, names in layers.items()}
        if not any(places.values()):
            said = f"; write {ATTENTION}, {ALL_LINEAR} or some of {', '.join(known)}"
            raise UserError(f"{KEY}: no linear map {one!r} in the layers of {type(base).__name__}{_fused(base, one)}{said}")
        parts = {name.partition(".")[0] for names in places.values() for name in names}
        missing = [layer for layer, names in places.items() if not names and any(hasattr(base.get_submodule(layer), p) for p in parts)]
        if missing:
            raise UserError(
                f"{KEY}: {one} is missing in {_listed(missing)}; write {ATTENTION}, {ALL_LINEAR}, or names that every layer has"
            )


def _fused(base: "PreTrainedModel", name: str) -> str:
    """Why a name of an expert's map is not found: the experts' weights are one tensor."""
    stacked = [n for n, p in base.named_parameters() if p.dim() == 3 and "expert" in n]
    if not stacked or not re.search(r"gate|up|down|w[123]|expert", name):
        return ""
    (pattern, *_) = patterns([stacked[0]])
    return f" (its experts are fused into three-dimensional tensors such as {pattern}, which take no adapter)"


def _listed(layers: list[str]) -> str:
    shown = ", ".join(layers[:3])
    return shown if len(layers) <= 3 else f"{shown} and {len(layers) - 3} more layers"
