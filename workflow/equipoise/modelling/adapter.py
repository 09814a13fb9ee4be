"""LoRA adapters through PEFT, and the names by which everything keeps their parameters."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Lora
from equipoise.errors import UserError, first_line
from equipoise.inputs import read_json
from equipoise.modelling.targets import carrying, patterns, shortest_names
from equipoise.progress import log

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER = "default"
WRAPPED = "base_model.model."
"""What PEFT puts before the names of the base's modules."""


def saved_name(parameter_name: str, adapter: str = ADAPTER) -> str:
    """PEFT's saved key of a parameter: no adapter name, no `module.` or `_orig_mod.` wrapper prefixes."""
    for wrapper in ("module.", "_orig_mod."):
        while parameter_name.startswith(wrapper):
            parameter_name = parameter_name.removeprefix(wrapper)
    return parameter_name.replace("._orig_mod.", ".").replace(f".{adapter}.", ".")


def lora_parameters(model: "torch.nn.Module", adapter: str = ADAPTER) -> dict[str, "torch.nn.Parameter"]:
    """The adapter's parameters by saved name, sorted by name."""
    parameters = {saved_name(name, adapter): p for name, p in model.named_parameters() if ".lora_" in name and f".{adapter}." in name}
    return dict(sorted(parameters.items()))


def attach_adapter(base: "PreTrainedModel", lora: Lora, seed: int) -> "PeftModel":
    """A fresh, trainable fp32 LoRA adapter on the frozen base; its initial values depend on `seed` alone. Logs where it is.

    Raises `UserError` where it cannot be where `lora.target_modules` says.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn import Linear

    names = carrying(base, lora)
    transposed = not any(isinstance(base.get_submodule(name), Linear) for name in names)  # GPT-2's
    _log_places(patterns(names))
    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=shortest_names(names, base),
        fan_in_fan_out=transposed,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config, adapter_name=ADAPTER)
    found = sorted(name.removeprefix(WRAPPED) for name in adapted_names(lora_parameters(model)))
    if found != names:
        raise UserError(f"lora.target_modules: PEFT adapts {', '.join(patterns(found))} instead of {', '.join(patterns(names))}")
    return model


def _log_places(places: dict[str, int]) -> None:
    for count in sorted(set(places.values()), reverse=True):
        log(f"adapter in {count} layers: " + ", ".join(pattern.partition(".*.")[2] for pattern in places if places[pattern] == count))


def adapted_names(parameters: Iterable[str]) -> set[str]:
    """Modules whose adapter's parameters have these saved names."""
    return {name.partition(".lora_")[0] for name in parameters}


def load_adapter(base: "PreTrainedModel", folder: str | Path) -> "PeftModel":
    """The adapter saved in `folder` on the frozen base, in eval mode and not trainable.

    Raises `UserError` for one that does not hold exactly the tensors that its configuration has on this base, and for non-finite weights.
    """
    from peft import PeftModel

    saved = saved_shapes(folder)
    _refuse_another_rank(saved, Path(folder))
    try:
        model = PeftModel.from_pretrained(base, str(folder), adapter_name=ADAPTER, is_trainable=False).eval()
    except (RuntimeError, ValueError, KeyError, TypeError) as error:  # sizes that do not fit, a configuration that is none
        raise UserError(f"{folder}: cannot be attached to this base ({first_line(error)}); make it again with this base") from None
    try:
        refuse_other_tensors(model, saved, folder)
        refuse_non_finite_weights(model, folder)
    except UserError:
        model.unload()  # the base is the caller's
        raise
    return model


@contextmanager
def merged(base: "PreTrainedModel", folder: str | Path) -> Iterator["PreTrainedModel"]:
    """Within: the whole (not quantised) `base` with the adapter saved in `folder` added into its weights, as fast as the base alone.

    A merged weight is W + (alpha / r) B A, added in fp32 and rounded once to W's format. The base's own weights are put aside and come
    back as they were; none is written to. Raises as `load_adapter` does.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    model, own = load_adapter(base, folder), []
    try:
        with torch.no_grad():
            for layer in [each for each in model.modules() if isinstance(each, LoraLayer)]:
                linear = layer.get_base_layer()
                weight = linear.weight
                whole = (weight.float() + layer.get_delta_weight(ADAPTER).float()).to(weight.dtype)
                own.append((linear, weight))
                linear.weight = torch.nn.Parameter(whole, requires_grad=False)
        take_off(model, base)
        yield base
    finally:
        take_off(model, base)
        for linear, weight in own:
            linear.weight = weight


def take_off(model: "PeftModel", base: "PreTrainedModel") -> None:
    """Takes an adapter off its base, of which nothing else is changed; a second time, nothing."""
    if hasattr(base, "peft_config"):
        model.unload()
        vars(base).pop("peft_config", None)


def _refuse_another_rank(saved: dict[str, list[int]], folder: Path) -> None:
    """Raises `UserError` unless an adapter's configuration says the rank that its tensors have: PEFT makes room for what it says."""
    said = read_json(folder / "adapter_config.json", "an adapter as it was saved")
    if not isinstance(said, dict):
        raise UserError(f"{folder}: its configuration holds no keys; make it again")
    pattern = said.get("rank_pattern")
    ranks = [said.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    held = {shape[0] for name, shape in saved.items() if ".lora_A." in name and shape}
    if held and not all(type(rank) is int and rank in held for rank in ranks):
        raise UserError(f"{folder}: its configuration says rank {said.get('r')!r}, its tensors {sorted(held)}; make it again")


def saved_shapes(folder: str | Path) -> dict[str, list[int]]:
    """Shapes of an adapter's saved tensors by name. Raises `UserError` for a file that holds none."""
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / "adapter_model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: no adapter ({first_line(error)}); remove it and make it again") from None
    if not shapes:
        raise UserError(f"{path}: an adapter without tensors; remove it and make it again")
    return shapes


def refuse_other_tensors(model: "PeftModel", saved: dict[str, list[int]], folder: str | Path) -> None:
    """Raises `UserError` unless `saved` (`saved_shapes`) are the adapter's parameters in `model`, each of its shape and nothing else."""
    parameters = lora_parameters(model)
    for name in sorted(saved.keys() ^ parameters.keys()):
        raise UserError(f"{folder}: {name} is {'not in the model' if name in saved else 'missing'}; is it a checkpoint of another adapter?")
    for name, parameter in parameters.items():
        if list(parameter.shape) != saved[name]:
            raise UserError(f"{folder}: {name} is {saved[name]}, the model's is {list(parameter.shape)}")


def refuse_non_finite_weights(model: "PeftModel", folder: str | Path) -> None:
    """Raises `UserError` when the adapter in `model`, read from `folder`, holds a number that is not finite."""
    for name, parameter in lora_parameters(model).items():
        if not parameter.isfinite().all():
            raise UserError(f"{folder}: non-finite weights in {name}; remove it and train again, with a lower training.learning_rate")
