"""The shape of a base model: from its config.json where that is at hand, else from a small table of known ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.config import Lora, Model
from equipoise.config_keys import ALL_LINEAR, ATTENTION, LARGEST
from equipoise.errors import UserError
from equipoise.inputs import read_json
from equipoise.shipped import base_path


@dataclass(frozen=True)
class Architecture:
    """A Llama-shaped decoder: grouped-query attention, gated MLP, RMS norms, no biases."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def query_width(self) -> int:
        """Outputs of q_proj, inputs of o_proj."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Outputs of k_proj and of v_proj."""
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of a layer's linear maps, by module name."""
        return {
            "q_proj": (self.hidden, self.query_width),
            "k_proj": (self.hidden, self.kv_width),
            "v_proj": (self.hidden, self.kv_width),
            "o_proj": (self.query_width, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """Parameters of the base."""
        in_layers = sum(i * o for i, o in self.linears.values()) + 2 * self.hidden
        return self.layers * in_layers + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapted(self, lora: Lora) -> dict[str, tuple[int, int]]:
        """The linear maps of a layer that get an adapter. Raises `UserError` for a name that is none of them."""
        attention = [name for name in self.linears if name in ("q_proj", "k_proj", "v_proj", "o_proj")]
        chosen = {ATTENTION: attention, ALL_LINEAR: list(self.linears)}.get(str(lora.target_modules), lora.target_modules)
        for name in chosen:
            if name not in self.linears:
                raise UserError(f"lora.target_modules: no linear map {name!r} in a layer; write some of {', '.join(self.linears)}")
        return {name: self.linears[name] for name in chosen}

    def adapter_parameters(self, lora: Lora) -> int:
        """Parameters p of the adapter."""
        return self.layers * sum(lora.rank * (i + o) for i, o in self.adapted(lora).values())


SIZES = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
OWN_SIZES = ("num_key_value_heads", "head_dim")
"""Keys of a config.json that say sizes; the own ones may be left out."""
# Each from the config.json of the hub repository of that name.
KNOWN = {
    "meta-llama/Meta-Llama-3-8B": Architecture(32, 4096, 14336, 32, 8, 128, 128256, tied=False),
    "mistralai/Mistral-7B-v0.3": Architecture(32, 4096, 14336, 32, 8, 128, 32768, tied=False),
    "HuggingFaceTB/SmolLM2-135M": Architecture(30, 576, 1536, 9, 3, 64, 49152, tied=True),
    "HuggingFaceTB/SmolLM2-360M": Architecture(32, 960, 2560, 15, 5, 64, 49152, tied=True),
    "HuggingFaceTB/SmolLM2-1.7B": Architecture(24, 2048, 8192, 32, 32, 64, 49152, tied=True),
    "meta-llama/Llama-2-7b-hf": Architecture(32, 4096, 11008, 32, 32, 128, 32000, tied=False),
    "meta-llama/Llama-2-13b-hf": Architecture(40, 5120, 13824, 40, 40, 128, 32000, tied=False),
    "meta-llama/Meta-Llama-3-70B": Architecture(80, 8192, 28672, 64, 8, 128, 128256, tied=False),
    "Qwen/Qwen3-14B": Architecture(40, 5120, 17408, 40, 8, 128, 151936, tied=False),
    "Qwen/Qwen3-32B": Architecture(64, 5120, 25600, 64, 8, 128, 151936, tied=False),
}


def architecture(model: Model) -> tuple[Architecture, str]:
    """The base's shape and where it was read. Never touches the network. Raises `UserError` when the base is neither at hand nor known."""
    path = _local_config(model)
    if path is not None:
        return from_config(read_json(path, "the config.json of a base as it was saved", strict=False), str(path)), str(path)
    if model.base in KNOWN:
        return KNOWN[model.base], "the table of known models"
    known = ", ".join(KNOWN)
    raise UserError(f"model.base: {model.base!r} is not at hand and none of the known ones ({known}); fetch it first, or write a folder")


def from_config(values: Mapping[str, Any], where: str) -> Architecture:
    """The shape a config.json describes. Raises `UserError` naming the first key that is missing."""
    try:
        heads = values["num_attention_heads"]
        sizes = {key: values[key] for key in SIZES} | {key: values[key] for key in OWN_SIZES if values.get(key)}
        for key, size in sizes.items():
            if type(size) is not int or not 0 < size <= LARGEST:
                raise UserError(f"{where}: {key} cannot be {repr(size)[:40]}; copy the config.json again")
        return Architecture(
            layers=values["num_hidden_layers"],
            hidden=values["hidden_size"],
            intermediate=values["intermediate_size"],
            heads=heads,
            kv_heads=values.get("num_key_value_heads") or heads,
            head_dim=values.get("head_dim") or values["hidden_size"] // heads,
            vocabulary=values["vocab_size"],
            tied=bool(values.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: no {error.args[0]!r}; plan handles decoders of Llama's shape only") from None


def _local_config(model: Model) -> Path | None:
    folder = base_path(model.base)
    if folder.is_dir():
        return folder / "config.json"
    if model.base.count("/") != 1 or model.base.startswith((".", "/")):
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.base, "config.json", revision=model.revision)
    return Path(cached) if isinstance(cached, str) else None
