"""Combinations of keys that cannot work, each found before any job starts: one clause a mistake, with the key's path and what to write.

What a single key may hold stands with the key, in config.py.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from equipoise.errors import UserError

if TYPE_CHECKING:
    from equipoise.config import Experiment, Task

PROGRAMS = ("human_eval", "mbpp")
"""Benchmarks whose evaluation runs programs; our lm-eval tasks for them are called `equipoise_<benchmark>`."""


def impossible(config: "Experiment") -> Iterator[str]:
    """Every combination of an experiment's keys that cannot work, as one clause each; the keys by themselves are valid."""
    for name, task in config.tasks.items():
        yield from _suite(config, name, task)
        yield from _validation_data(config, name, task)
    yield from _pool_search(config)
    yield from _budgets(config)
    yield from _selectors(config)
    yield from _generated_data(config)
    yield from _batch(config)
    yield from _processes(config)
    yield from _environments(config)


def _suite(config: "Experiment", name: str, task: "Task") -> Iterator[str]:
    if task.suite is None:
        return
    if task.suite not in config.suites:
        known = ", ".join(config.suites) or "none defined"
        yield f"tasks.{name}.suite: no suite {task.suite!r}; write one of suites ({known})"
    if config.sandbox.mode == "off" and _runs_programs(task):
        yield (
            f"sandbox.mode: off, but tasks.{name} has a suite, whose evaluation runs programs that the model writes; write "
            f"sandbox.mode: namespaces (read the key's warning first), or leave tasks.{name}.suite out"
        )


def _runs_programs(task: "Task") -> bool:
    return task.benchmark in PROGRAMS or any(task_name == f"equipoise_{name}" for name in PROGRAMS for task_name in task.lm_eval_tasks)


def _validation_data(config: "Experiment", name: str, task: "Task") -> Iterator[str]:
    """Files that validation examples need and that are missing, and files that nothing would read."""
    from equipoise.data.benchmarks import benchmark

    where = f"tasks.{name}"
    source = None if task.benchmark == "jsonl" else benchmark(task.benchmark)
    substitutable = source is not None and source.leak_free_split is None
    substituted = substitutable and config.targets.validation == "leak_free"
    if substituted and not task.substitutes:
        yield (
            f"{where}.substitutes: {task.benchmark} has no split but its test set, so targets.validation: leak_free needs other "
            f"examples; write substitutes: [path/to/{name}.jsonl] with lines of prompt and response"
        )
    if task.substitutes and not substitutable:
        other = f"{task.benchmark} has a split of its own for targets.validation: leak_free" if source else "a jsonl task's files are yours"
        yield f"{where}.substitutes: nothing would read them ({other}); leave them out"
    if source and source.accept and not substituted and not task.files:
        yield f"{where}.files: {task.benchmark} has no responses of its own; write files: [path/to/responses.jsonl]"
    if source and not source.accept and task.files:
        yield f"{where}.files: nothing would read them ({task.benchmark} has its own data); leave them out, or write benchmark: jsonl"


def _pool_search(config: "Experiment") -> Iterator[str]:
    if config.pool.decontaminate != "skip" and not any(task.suite for task in config.tasks.values()):
        yield "pool.decontaminate: no task names a suite, so there are no test items to look for; write skip"


def _budgets(config: "Experiment") -> Iterator[str]:
    reach = config.selection.rank_to
    for budget in [*config.budgets, *(extra.budget for extra in config.finetune.extra)]:
        if isinstance(budget, type(reach)) and budget > reach:
            yield f"budgets: {budget} goes beyond selection.rank_to = {reach}; raise selection.rank_to to {budget}"


def _selectors(config: "Experiment") -> Iterator[str]:
    extra = [run.selector for run in config.finetune.extra]
    for key, selectors in {"selectors": config.selectors, "finetune.extra": extra}.items():
        if "oracle" in selectors and config.miniature is None:
            yield f"{key}: oracle follows the ranks planted in a generated pool, and this experiment has no miniature section; leave it out"
    if "full" in extra:
        yield "finetune.extra: full knows no budget; write its epochs to finetune.full_epochs, and full to selectors"


def _generated_data(config: "Experiment") -> Iterator[str]:
    """The rule that generates the miniature's data promises these files, so they must be those it writes."""
    from equipoise.miniature.generate import RESOURCES, folder

    if config.miniature is None:
        return
    made = folder(config.miniature.profile, config.miniature.seed)
    read = [("pool.files", file) for file in config.pool.files]
    read += [(f"tasks.{name}.files", file) for name, task in config.tasks.items() for file in task.files]
    own = [(f"suites.{name}.include_path", suite.include_path or "") for name, suite in config.suites.items()]
    read += [(key, path) for key, path in own if path.startswith(f"{RESOURCES}/")]
    for key, path in read:
        if not path.startswith(f"{made}/"):
            yield (
                f"{key}: {path} is not in {made}, which miniature.profile: {config.miniature.profile} and miniature.seed: "
                f"{config.miniature.seed} generate; write all paths below {made}, or the profile and seed of these"
            )
            return  # the others are elsewhere for the same reason


def _batch(config: "Experiment") -> Iterator[str]:
    from equipoise.training.schedule import accumulation

    try:
        accumulation(config.training)
    except UserError as error:
        yield str(error)


def _processes(config: "Experiment") -> Iterator[str]:
    if config.jobs.runs == "together" and config.training.processes > 1:
        yield (
            f"jobs.runs: together makes all runs in one process, but training.processes is {config.training.processes}; "
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
