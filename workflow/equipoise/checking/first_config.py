"""`equipoise init`: a first configuration of one's own, sized to this machine and these files; nothing in it but keys that matter.

Small machines (no GPU): warm-up on 20 % of the rows for one epoch, gradients of that epoch, one budget, held-out loss as the measure; where
a first selection would still take longer than 45 minutes, gradients of a share of the rows, from which the others' influence is predicted.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from equipoise.config import Experiment, Model
from equipoise.config_comments import flow
from equipoise.config_file import parse_config
from equipoise.conversation.reading import AS_IT_IS, Summary, read_files
from equipoise.conversation.record import Record
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS
from equipoise.progress import duration

COVERED = 0.99
"""Share of the rows that are not to be cut."""
FEW_ROWS = 20_000
LARGE_BASE = 1e9  # parameters
THREADS = 4
"""Threads of a job on a machine without GPU; more than so many are shared out among shards."""


IN_TIME = 45 * 60.0
"""Seconds within which a first selection is to be there, on a machine without GPU."""
SHARES = (0.5, 0.3, 0.2, 0.1)
"""Shares of the pool whose gradients are collected where those of all rows would take too long, the first that fits."""
FEWEST = 200
"""Rows below which the influence of the others is not predicted from theirs."""


@dataclass(frozen=True)
class Machine:
    """What there is to compute on."""

    processors: int
    gpus: int

    @classmethod
    def here(cls) -> "Machine":
        """This one: processors that this process may use, and GPUs that torch sees."""
        import torch

        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(processors, torch.cuda.device_count() if torch.cuda.is_available() else 0)


@dataclass(frozen=True)
class Material:
    """What the files and the base say: the pool's records, each task's, and what is written into the configuration for them."""

    pool: list[Record]
    tasks: dict[str, list[Record]]
    values: dict[str, Any]


def material(pool: Sequence[str], tasks: Mapping[str, Sequence[str]], base: str, name: str, machine: Machine) -> Material:
    """Reads all files and decides the values. Raises `UserError` for a file or base that cannot be used."""
    from equipoise.planning.architecture import architecture

    summaries = {key: Summary() for key in ("pool", *tasks)}
    records = {key: list(read_files(files, AS_IT_IS, summaries[key])) for key, files in {"pool": pool, **tasks}.items()}
    for key, read in records.items():
        if len(read) < 2:
            raise UserError(f"{key}: {len(read)} examples in {', '.join({'pool': pool, **tasks}[key])}; give a file with more")
    model = Model(name=Path(base).name or "base", base=base, chat_template="paper", max_length=8, precision="fp32")
    shape, _ = architecture(model)
    template, longest = _template_and_length(model, records)
    rows, small = len(records["pool"]), machine.gpus == 0
    size = min(50, *(len(read) // 2 for read in list(records.values())[1:]))
    threads = max(1, min(THREADS, machine.processors))
    batch = 16 if rows < FEW_ROWS else 128
    values = {
        "experiment": name,
        "budgets": [0.05] if small else [0.05, 0.1, 0.15],
        "selectors": ["random", "task_max", "bids", "round_robin"],
        "model": {
            "name": model.name,
            "base": base,
            "chat_template": template,
            "precision": "fp32" if small else "bf16",
            "max_length": longest,
            **({"device": "cpu"} if small else {}),
        },
        "lora": {"rank": 128, "alpha": 512} if shape.parameters > LARGE_BASE else {"rank": 16, "alpha": 64, "dropout": 0.0},
        "pool": {"files": list(pool), "shards": _shards(rows, machine, threads)},
        "targets": {"size": size},
        "tasks": {task: {"capability": task, "files": list(files), "suite": "held_out"} for task, files in tasks.items()},
        "suites": {"held_out": {"measure": "loss"}},
        "training": {
            "batch_size": batch,
            "micro_batch_size": 8 if small or shape.parameters < LARGE_BASE else 4,
            "learning_rate": 2e-5 if shape.parameters > LARGE_BASE else 2e-4,
            "save_steps": 20 if small else 500,
            "report_to": [],
        },
        "warmup": {"epochs": 1, "fraction": 0.2} if small else {"epochs": 4},
        "gradients": {
            "precision": "fp32" if small else "bf16",
            **({"token_budget": 2048} if small else {}),
            "projection": {"dimension": 4096},
        },
        "finetune": {"epochs": 1 if small else 2, "seeds": [0, 1, 2]},
        "jobs": {"epochs": "together", "tasks": "together", "runs": "together"} if small else {"tasks": "together"},
    }
    if small:
        heavy = ("warm_up", "collect_pool_gradients", "collect_target_gradients")
        values["jobs"]["threads"] = {"default": 1, **dict.fromkeys(heavy, threads)}
    return Material(records["pool"], {task: records[task] for task in tasks}, values)


def in_time(values: Mapping[str, Any], rows: int, seconds: Callable[[Experiment], float]) -> tuple[dict[str, Any], str]:
    """The values, or where a first selection would take longer than `IN_TIME`, those with gradients of a share of the rows; and what was
    decided, in a sentence (empty: nothing). seconds: until the selections of a configuration are there."""
    whole = seconds(parse_config(dict(values), "init"))
    if values["model"].get("device") != "cpu" or whole <= IN_TIME:
        return dict(values), ""
    chosen = dict(values)
    for share in (share for share in SHARES if share * rows >= FEWEST):
        settings = {"estimator": "mates", "mates": {"estimator": "less", "share": share}}
        chosen = values | {"gradients": values["gradients"] | settings}
        if seconds(parse_config(dict(chosen), "init")) <= IN_TIME:
            break
    if "mates" not in chosen["gradients"]:
        return chosen, ""
    share = chosen["gradients"]["mates"]["share"]
    return chosen, (
        f"with gradients of all {rows:,} rows the selections would take {duration(whole)}; so {share:.0%} of the rows get gradients, "
        "and the influence of the others is predicted from a forward pass (gradients.estimator: mates, docs/estimators.md; less is exact)"
    )


def _shards(rows: int, machine: Machine, threads: int) -> int:
    at_once = machine.gpus or max(1, machine.processors // threads)
    return max(1, min(at_once, -(-rows // CHUNK_ROWS)))


def _template_and_length(model: Model, records: Mapping[str, list[Record]]) -> tuple[str, int]:
    """The chat template (the base's own, where it has one), and the length in tokens within which 99 % of the rows lie."""
    from equipoise.modelling.base import load_tokenizer, own_template, positions_for

    template = "own" if own_template(load_tokenizer(model)) else "paper"
    tokenizer = load_tokenizer(model.model_copy(update={"chat_template": template}))
    positions = min(positions_for(model) or 2048, 2048)
    sample = [record for read in records.values() for record in read[:2000]]
    lengths = sorted(len(example.input_ids) for example in encode(sample, tokenizer, positions))
    wanted = lengths[min(len(lengths) - 1, int(COVERED * len(lengths)))]
    return template, max(8, min(positions, 32 * ceil(wanted / 32)))


def encode(records: Sequence[Record], tokenizer: Any, max_length: int) -> list[Any]:
    """Records as tokens. Raises `UserError` for what the template cannot take."""
    from equipoise.modelling.chat import encode_conversations

    return encode_conversations(tokenizer, [each.messages for each in records], max_length, False, [each.tools for each in records])


COMMENTS = {
    "budgets": "Shares of the pool to train on.",
    "selectors": "Selectors to compare; `random` is what they have to beat.",
    "model": "The base that is tuned; max_length covers 99 % of the rows.",
    "lora": "The adapter.",
    "pool": "The instruction data to choose from; a shard is a job of the gradients.",
    "targets": "Validation examples drawn from every task's files; the rows that are not drawn measure it.",
    "tasks": "What the model is to get better at.",
    "suites": "How tasks are measured: held-out loss needs no task definition.",
    "training": "Steps of warm-up and fine-tuning.",
    "warmup": "A short training whose checkpoints say in which direction each example moves the model.",
    "gradients": "Those directions, as so many numbers each.",
    "finetune": "The trainings to compare: three seeds, so that the report can tell chance from difference.",
    "jobs": "Small work: few processes.",
}


def rendered(values: Mapping[str, Any], said: str) -> str:
    """The configuration as YAML: a comment a section. said: a line for the top."""
    lines = [
        f"# {said}",
        "# Every key with its description: equipoise config show FILE, and docs/. Keys left out have the defaults shown there.",
    ]
    for key, value in values.items():
        if key in COMMENTS:
            lines += ["", f"# {COMMENTS[key]}"]
        if (isinstance(value, dict) and key in ("tasks", "suites")) or isinstance(value, dict):
            lines += [f"{key}:", *(f"  {name}: {flow(entry)}" for name, entry in value.items())]
        else:
            lines.append(f"{key}: {flow(value)}")
    return "\n".join(lines) + "\n"


def first_config(found: Material) -> Experiment:
    """The values as a configuration."""
    return parse_config(found.values, "init")
