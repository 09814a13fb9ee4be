"""`equipoise plan --fit`: which base fits which GPU at which setting, by the plan's own count of memory."""

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from equipoise.config import Experiment
from equipoise.config_keys import FOUR_BITS, UNQUANTISED
from equipoise.planning import memory
from equipoise.planning.architecture import KNOWN, Architecture
from equipoise.planning.hardware import GPUS

BASES = {"8 B": "meta-llama/Meta-Llama-3-8B", "14 B": "Qwen/Qwen3-14B", "32 B": "Qwen/Qwen3-32B", "70 B": "meta-llama/Meta-Llama-3-70B"}
"""The known base that stands for a size."""
SPREADS = (1, 2, 4, 8)
COLUMNS = ("base", "GPU", "linear maps", "checkpointing", "GPUs of a training", "GPUs of a collection", "GPUs of an evaluation")
ANSWERS = 8, 3072
"""Sequences of an evaluation's batch, and their tokens, prompt and answer."""


@dataclass(frozen=True)
class Fit:
    """How many GPUs each kind of work takes, with its peak in bytes of one of them; none: more than `SPREADS` has, or no way."""

    base: str
    gpu: str
    quantisation: str
    checkpointing: bool
    training: tuple[int, float] | None
    gradients: tuple[int, float] | None
    evaluation: tuple[int, float] | None


def fits(config: Experiment) -> list[Fit]:
    """Every base on every GPU, whole and in 4 bits, with the adapter, lengths and batches of `config`."""
    found = []
    for (size, name), gpu, kind, again in product(BASES.items(), GPUS.values(), (UNQUANTISED, FOUR_BITS), (False, True)):
        wanted = partial(_least, config, KNOWN[name], gpu.memory, kind, again)
        found.append(Fit(size, gpu.name, kind, again, wanted("training"), wanted("gradients"), wanted("evaluation")))
    return found


def _least(config: Experiment, shape: Architecture, room: float, kind: str, again: bool, work: str) -> tuple[int, float] | None:
    for gpus in SPREADS:
        if gpus > 1 and work == "training" and kind != UNQUANTISED:
            return None  # a base in 4 bits is not sharded
        peak = _peak(_with(config, kind, again, gpus), shape, work)
        if peak <= room:
            return gpus, peak
    return None


def _with(config: Experiment, kind: str, again: bool, gpus: int) -> Experiment:
    """`config` with a quantisation, with activation checkpointing or without, over so many GPUs."""
    sharding = {"processes": gpus, "sharding": "fsdp" if gpus > 1 else "none", "activation_checkpointing": again}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"quantisation": kind, "device_map": "auto" if gpus > 1 else "none"}),
            "training": config.training.model_copy(update=sharding),
            "gradients": config.gradients.model_copy(update={"activation_checkpointing": again}),
            "jobs": config.jobs.model_copy(update={"gpus": gpus}),
        }
    )


def _peak(config: Experiment, shape: Architecture, work: str) -> float:
    if work == "training":
        return memory.training(config, shape)
    if work == "gradients":
        return memory.gradients(config, shape, config.model.max_length)
    batch, length = ANSWERS
    return memory.evaluation(config, shape, batch, length, config.model.quantisation)


def as_text(found: list[Fit], config: Experiment) -> str:
    """The table for a terminal, with what it assumes."""
    said = [
        f"# LoRA rank {config.lora.rank} on {config.lora.target_modules}, examples of {config.model.max_length:,} tokens, "
        f"{config.training.micro_batch_size} at a time in training, {config.gradients.token_budget:,} tokens in a batch of gradients",
        f"# evaluation of {ANSWERS[0]} sequences of {ANSWERS[1]:,} tokens by transformers; checkpointing: activation_checkpointing of "
        "training and gradients",
        "# a number of GPUs, and the peak in GB of each: several by training.sharding: fsdp, by model.device_map: auto; -: more than "
        f"{SPREADS[-1]}, or a base in 4 bits that one GPU does not hold in training",
        "# counted from shapes (planning/memory.py), not measured",
    ]
    kinds = {UNQUANTISED: config.model.precision, FOUR_BITS: FOUR_BITS}
    rows = [
        COLUMNS,
        *(
            (f.base, f.gpu, kinds[f.quantisation], "yes" if f.checkpointing else "no", *map(_cell, (f.training, f.gradients, f.evaluation)))
            for f in found
        ),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*said, "", lines[0], "-" * len(lines[0]), *lines[1:]]) + "\n"


def _cell(found: tuple[int, float] | None) -> str:
    return f"{found[0]} ({found[1] / 1e9:.0f})" if found else "-"


def as_values(found: list[Fit]) -> list[dict[str, Any]]:
    """The table as JSON-able values: GPUs and bytes of one of them."""
    work = ("training", "gradients", "evaluation")
    return [
        {"base": f.base, "gpu": f.gpu, "quantisation": f.quantisation, "activation_checkpointing": f.checkpointing}
        | {name: dict(zip(("gpus", "memory"), getattr(f, name), strict=True)) if getattr(f, name) else None for name in work}
        for f in found
    ]
