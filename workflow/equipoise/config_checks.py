"""Combinations of keys that cannot work, each found before any job starts: one clause per mistake, with the key's path and what to write.

What a single key may hold is written at the key, in config.py; combinations of keys of tasks and suites stand in config_task_checks.py.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from equipoise.budgets import budget_rows
from equipoise.collecting import has_all_rows
from equipoise.config_keys import UNQUANTISED
from equipoise.config_task_checks import impossible_suites, impossible_tasks
from equipoise.conversation.forms import refuse_unknown
from equipoise.conversation.sources import READERS, unreadable
from equipoise.errors import UserError
from equipoise.estimators import MATRIX, row_estimator
from equipoise.selectors import LOSSES, STORED, selector

if TYPE_CHECKING:
    from equipoise.config import Experiment
    from equipoise.config_keys import Section

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM reserves room for."""


def impossible(config: "Experiment") -> Iterator[str]:
    """Every combination of an experiment's keys that cannot work, as one clause each; the keys by themselves are valid."""
    checks = (impossible_tasks, _repeated, impossible_suites, _pool, _files, _budgets, _selectors, _generated_data)
    for check in (*checks, _gradients, _validation, _training, _environments, _vllm):
        yield from check(config)


def _repeated(section: "Section", where: str = "") -> Iterator[str]:
    """Lists that hold something twice."""
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{where}{name}"
        for path, held in ({f"{key}.{part}": held for part, held in value.items()} if isinstance(value, dict) else {key: value}).items():
            if isinstance(held, BaseModel):
                yield from _repeated(held, f"{path}.")
            elif isinstance(held, list):
                counts = Counter(map(repr, held))  # the count 1 is not the share 1.0
                yield from (f"{path}: {item} is listed {n} times; write it once" for item, n in counts.items() if n > 1)


def _pool(config: "Experiment") -> Iterator[str]:
    most = config.pool.most_shards
    if most and config.pool.shards > most:
        yield f"pool.shards: {config.pool.shards}, but the rows of pool.limit: {config.pool.limit} make {most}; write at most {most}"
    sections = {"pool": config.pool} | {f"tasks.{name}": task for name, task in config.tasks.items()}
    for where, section in sections.items():
        try:
            refuse_unknown(section.format, section.columns)
        except UserError as error:
            yield f"{where}.{error}"
    if config.pool.name and not config.pool.dataset:
        yield f"pool.name: {config.pool.name}, but no pool.dataset, whose configuration it would name; leave it out"
    if config.pool.decontaminate != "skip" and not any(task.suite for task in config.tasks.values()):
        yield "pool.decontaminate: no task names a suite, so there are no test items to look for; write skip"


def _files(config: "Experiment") -> Iterator[str]:
    """Files of kinds that are not read."""
    listed = {"pool.files": config.pool.files, "warmup.files": config.warmup.files}
    for name, task in config.tasks.items():
        listed |= {
            f"tasks.{name}.files": task.files,
            f"tasks.{name}.substitutes": task.substitutes,
            f"tasks.{name}.test_files": task.test_files,
        }
    for key, files in listed.items():
        for file in filter(unreadable, files):
            yield f"{key}: {file} is of no known kind; write one of {', '.join(READERS)}, text also with .gz or .zst"


def _budgets(config: "Experiment") -> Iterator[str]:
    reach, limit = config.selection.rank_to, config.pool.limit
    swept = [("budgets", budget) for budget in config.budgets if any(selector(name).swept for name in config.selectors)]
    swept += [("finetune.extra", extra.budget) for extra in config.finetune.extra]
    for key, budget in [*swept, ("selection.rank_to", reach)]:
        try:
            budget_rows(budget, limit or sys.maxsize)  # there are no more valid rows than pool.limit
        except UserError as error:
            yield f"{key}: with pool.limit: {limit}, {error}"
            continue
        comparable = isinstance(budget, type(reach))
        if budget > reach if comparable else limit and isinstance(budget, int) and budget > Fraction(str(reach)) * limit:
            yield f"{key}: {budget} goes beyond selection.rank_to = {reach}; raise selection.rank_to to {budget}"


def _selectors(config: "Experiment") -> Iterator[str]:
    extra = [run.selector for run in config.finetune.extra]
    for key, names in {"selectors": config.selectors, "finetune.extra": extra}.items():
        for entry in map(selector, dict.fromkeys(names)):
            if entry.planted and config.miniature is None:
                yield (
                    f"{key}: {entry.name} follows the ranks planted in a generated pool, and this experiment has no miniature section; "
                    "leave it out"
                )
            needs = [name for name in entry.pool if name in STORED]
            if needs and not has_all_rows(config):
                yield (
                    f"{key}: {entry.name} reads {needs[0]} of every pool row's gradients, and gradients.estimator: "
                    f"{config.gradients.estimator} leaves no store of them; leave it out, or write another estimator"
                )
            elif LOSSES in needs and (config.gradients.epochs == "last" or config.warmup.epochs == 1):
                why = "gradients.epochs: last" if config.gradients.epochs == "last" else "warmup.epochs: 1"
                yield f"{key}: {entry.name} follows losses over epochs, and {why} leaves one; leave it out, or keep all of several epochs"
            if not entry.swept and key == "finetune.extra":
                yield f"{key}: {entry.name} takes no budget; write its epochs to finetune.{entry.epochs}, and {entry.name} to selectors"


def _generated_data(config: "Experiment") -> Iterator[str]:
    """The rule that generates the miniature's data promises these files, so they must be those it writes."""
    if config.miniature is None:
        return
    made = config.miniature.folder
    read = [("pool.files", file) for file in config.pool.files]
    read += [(f"tasks.{name}.files", file) for name, task in config.tasks.items() for file in task.files]
    own = [(f"suites.{name}.include_path", suite.include_path or "") for name, suite in config.suites.items()]
    read += [(key, path) for key, path in own if path.startswith(f"{made.rpartition('/')[0]}/")]
    for key, path in read:
        if not path.startswith(f"{made}/"):
            yield (
                f"{key}: {path} is not in {made}, which miniature.profile: {config.miniature.profile} and miniature.seed: "
                f"{config.miniature.seed} generate; write all paths below {made}, or the profile and seed of these"
            )
            return  # the others are elsewhere for the same reason


def _gradients(config: "Experiment") -> Iterator[str]:
    """Settings of one projection or estimator that the one asked for does not have."""
    gradients, projection = config.gradients, config.gradients.projection
    if projection.kind != "sketch" and projection.repeats > 1:
        yield f"gradients.projection.repeats: {projection.repeats} is for kind sketch only; write 1 with {projection.kind}"
    if projection.kind == "identity" and projection.dimension != type(projection).model_fields["dimension"].default:
        yield f"gradients.projection.dimension: {projection.dimension}, but kind: identity keeps every number; leave it out"
    for name in dict.fromkeys([gradients.estimator, *config.validation.estimators]) if projection.dimension == "auto" else ():
        made = row_estimator(gradients.of(name))
        if made and "projection" in made.reads["pool"] and not made.halves:
            yield f"gradients.projection.dimension: auto, but the halves of {name}'s rows do not tell its reliability; write a number"
    rows, seeds = row_estimator(gradients), config.warmup.seeds
    if len(seeds) > 1 and rows is None and not config.validation.estimators:
        yield f"warmup.seeds: {seeds}, but {gradients.estimator} collects nothing at their checkpoints; write one seed"
    if gradients.adam_form != "less" and "adam_form" not in (rows.reads["pool"] if rows else ()):
        yield f"gradients.adam_form: {gradients.adam_form}, but {gradients.estimator} does not use Adam; leave it out"
    file, forms = gradients.matrix.file, (".npy", ".zarr", ".parquet", ".safetensors")
    if MATRIX not in (gradients.estimator, *config.validation.estimators) and file:
        yield f"gradients.matrix.file: nothing would read it ({gradients.estimator} computes its matrix); write estimator: {MATRIX}"
    if MATRIX in (gradients.estimator, *config.validation.estimators) and not file:
        yield f"gradients.matrix.file: estimator {MATRIX} takes your own scores; write the path of a matrix ({', '.join(forms)})"
    if file and Path(file).suffix not in ("", *forms):
        yield f"gradients.matrix.file: {file} is of no known form; write one of {', '.join(forms)}, or a folder of bergson's scores"


def _validation(config: "Experiment") -> Iterator[str]:
    """Trials of nothing: tasks that do not exist, shares of the pool that hold no row or all of them."""
    if not config.validation.estimators:
        return
    removal, subsets, limit = config.validation.removal, config.validation.subsets, config.pool.limit
    for name in removal.tasks:
        if name not in config.tasks:
            yield f"validation.removal.tasks: no task {name!r}; write some of {', '.join(config.tasks)}"
    shares = [("subsets.share", subsets.share)] if subsets.count else []
    shares += [(f"removal.{key}", share) for key in ("without", "only") for share in getattr(removal, key)]
    for key, share in shares:
        try:
            budget_rows(share, limit or sys.maxsize)
        except UserError as error:
            yield f"validation.{key}: with pool.limit: {limit}, {error}"


def _training(config: "Experiment") -> Iterator[str]:
    training = config.training
    at_once = training.micro_batch_size * training.processes
    if training.batch_size % at_once:
        yield (
            f"training.batch_size: {training.batch_size} is not a multiple of micro_batch_size x processes = "
            f"{training.micro_batch_size} x {training.processes}; write a multiple of {at_once}"
        )
    if training.sharding == "fsdp" and training.processes == 1:
        yield "training.sharding: fsdp spreads a training over processes, and training.processes is 1; write how many, or sharding: none"
    if training.sharding == "fsdp" and config.model.quantisation != UNQUANTISED:
        yield (
            f"training.sharding: fsdp cannot spread a base in {config.model.quantisation}; write model.quantisation: none, or "
            "training.sharding: none (`equipoise plan --fit` says which fits)"
        )
    spread = config.model.device_map == "auto"
    if spread != (config.jobs.gpus > 1):
        yield (
            f"model.device_map: {config.model.device_map} with jobs.gpus: {config.jobs.gpus}; write device_map: auto and how many GPUs "
            "hold a base, or device_map: none and jobs.gpus: 1"
        )
    if spread and config.jobs.runs == "together":
        yield "model.device_map: auto is for gradients and evaluation, and jobs.runs: together trains with the same base; write separate"
    if config.jobs.runs == "together" and training.processes > 1:
        yield (
            f"jobs.runs: together makes all runs in one process, but training.processes is {training.processes}; "
            "write jobs.runs: separate, or training.processes: 1"
        )


def _environments(config: "Experiment") -> Iterator[str]:
    """vLLM has an environment and a process of its own."""
    if config.jobs.runs != "together":
        return
    for name, suite in config.suites.items():
        for key, value in {"backend": suite.backend if suite.backend == "vllm" else None, "python": suite.python}.items():
            if value:
                yield (
                    f"suites.{name}.{key}: {value}, but jobs.runs: together trains and evaluates in one process of the experiment's "
                    f"interpreter; write jobs.runs: separate, or leave {key} out"
                )


def _vllm(config: "Experiment") -> Iterator[str]:
    """Adapters and bases that vLLM cannot serve."""
    if all(suite.backend != "vllm" for suite in config.suites.values()):
        return
    for name, suite in config.suites.items():
        if suite.backend == "vllm" and (suite.quantisation or config.model.quantisation) != UNQUANTISED:
            yield (
                f"suites.{name}.backend: vllm serves the whole base alone; write suites.{name}.quantisation: none (adapters trained on a "
                "quantised base are then evaluated on the whole one), or backend: hf"
            )
    if isinstance(config.lora.target_modules, list) and "lm_head" in config.lora.target_modules:
        yield "lora.target_modules: vLLM scores prompts wrongly under an adapter of lm_head; write backend: hf for the suites"
    if config.lora.rank > VLLM_RANKS[-1]:
        yield f"lora.rank: {config.lora.rank} is more than vLLM's {VLLM_RANKS[-1]}; write backend: hf for the suites"
