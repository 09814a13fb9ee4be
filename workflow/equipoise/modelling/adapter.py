"""LoRA adapters through PEFT, and the names by which everything keeps their parameters."""

from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Lora
from equipoise.errors import UserError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER = "default"


def saved_name(parameter_name: str, adapter: str = ADAPTER) -> str:
    """PEFT's saved key of a parameter: no adapter name, no `module.` or `_orig_mod.` wrapper prefixes."""
    for wrapper in ("module.", "_orig_mod."):
        while parameter_name.startswith(wrapper):
            parameter_name = parameter_name.removeprefix(wrapper)
    return parameter_name.replace("._orig_mod.", ".").replace(f".{adapter}.", ".")


def lora_parameters(model: "torch.nn.Module", adapter: str = ADAPTER) -> dict[str, "torch.nn.Parameter"]:
    """The adapter's parameters by saved name, sorted by name."""
    found = {saved_name(name, adapter): p for name, p in model.named_parameters() if ".lora_" in name and f".{adapter}." in name}
    return dict(sorted(found.items()))


def attach_adapter(base: "PreTrainedModel", lora: Lora, seed: int) -> "PeftModel":
    """A fresh, trainable fp32 LoRA adapter on the frozen base; its initial values depend on `seed` alone.

    Raises `UserError` when `lora.target_modules` names no linear layer of the base.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.target_modules), task_type="CAUSAL_LM"
    )
    try:
        return get_peft_model(base, config, adapter_name=ADAPTER)
    except ValueError:
        linear = sorted({n.rsplit(".", 1)[-1] for n, m in base.named_modules() if isinstance(m, torch.nn.Linear)})
        raise UserError(f"lora.target_modules: none of {lora.target_modules} is a layer of the base; write some of {linear}") from None


def load_adapter(base: "PreTrainedModel", folder: str | Path) -> "PeftModel":
    """The adapter saved in `folder` on the frozen base, in eval mode and not trainable. Raises `UserError` for non-finite weights."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(base, str(folder), adapter_name=ADAPTER, is_trainable=False).eval()
    refuse_non_finite_weights(model, folder)
    return model


def refuse_non_finite_weights(model: "PeftModel", folder: str | Path) -> None:
    """Raises `UserError` when the adapter in `model`, read from `folder`, holds a number that is not finite."""
    for name, parameter in lora_parameters(model).items():
        if not parameter.isfinite().all():
            raise UserError(f"{folder}: non-finite weights in {name}; remove it and train again, with a lower training.learning_rate")
