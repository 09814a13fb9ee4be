"""Bases whose linear maps are kept in 4 bits (nf4: training, gradients, evaluation) or in 8 (int8: evaluation alone), by bitsandbytes.

The whole base never lies dequantised anywhere: a map's weight is while that map computes. The output layer and the embeddings stay as they
are. bitsandbytes is imported where a base is quantised.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from equipoise.config_keys import EIGHT_BITS, FOUR_BITS, UNQUANTISED
from equipoise.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

NEIGHBOURS = "int8 quantises a map's inputs together with their neighbours' in the batch, so that a row would depend on its batch"


def settings_of(quantisation: str, dtype: "torch.dtype") -> "BitsAndBytesConfig | None":
    """What transformers is told of a quantisation; None for none. Raises `UserError` where bitsandbytes is not installed."""
    if quantisation == UNQUANTISED:
        return None
    if find_spec("bitsandbytes") is None:
        raise UserError(f"model.quantisation: {quantisation} needs bitsandbytes; run pip install bitsandbytes, or write none")
    from transformers import BitsAndBytesConfig

    if quantisation == EIGHT_BITS:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=FOUR_BITS, bnb_4bit_compute_dtype=dtype, bnb_4bit_use_double_quant=True
    )


def keep_one_layout(base: "PreTrainedModel") -> None:
    """Keeps 4-bit weights as they were loaded: on some CPUs bitsandbytes would repack them in the first pass, without a backward pass."""
    for module in base.modules():
        if is_in_four_bits(module):
            module.support_avx512bf16_for_cpu = False


def is_in_four_bits(module: "torch.nn.Module") -> bool:
    """Whether a module is a linear map kept in 4 bits."""
    return type(module).__name__ == "Linear4bit" and type(module).__module__.startswith("bitsandbytes.")


def is_in_eight_bits(module: "torch.nn.Module") -> bool:
    """Whether a module is a linear map kept in 8 bits."""
    return type(module).__name__ == "Linear8bitLt" and type(module).__module__.startswith("bitsandbytes.")


def refuse_eight_bits(name: str, base: "torch.nn.Module") -> None:
    """Raises `UserError` for a linear map kept in 8 bits. name: what messages call it."""
    if is_in_eight_bits(base):
        raise UserError(f"model: {name} is in int8, which is for evaluation only: {NEIGHBOURS}; write model.quantisation: nf4 or none")


def computes_in(base: "torch.nn.Module") -> "torch.dtype":
    """The number format that a linear map multiplies in."""
    return base.compute_dtype if is_in_four_bits(base) else base.weight.dtype


def whole_weight(base: "torch.nn.Module", dtype: "torch.dtype") -> "torch.Tensor":
    """The weight [out, in] of one linear map: a view where it is whole, in `dtype` where it is kept in 4 bits."""
    from transformers.pytorch_utils import Conv1D

    if is_in_four_bits(base):
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(base.weight.data, base.weight.quant_state).to(dtype)
    return base.weight.T if isinstance(base, Conv1D) else base.weight


def dequantised(base: "PreTrainedModel") -> "PreTrainedModel":
    """The same base with whole weights, everything in fp32: for audits, which compare with it."""
    import torch

    for name, module in list(base.named_modules()):
        if is_in_four_bits(module):
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=module.bias is not None, device="meta")
            plain.weight = torch.nn.Parameter(whole_weight(module, torch.float32), requires_grad=False)
            plain.bias = module.bias
            base.set_submodule(name, plain)
    base.is_loaded_in_4bit = False
    base.is_quantized = False
    for attribute in ("hf_quantizer", "quantization_method"):
        vars(base).pop(attribute, None)
    if hasattr(base.config, "quantization_config"):
        del base.config.quantization_config
    return base.float()
