"""Combinations of keys of tasks and suites that cannot work: what `config_checks.py` says of all others."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from equipoise.benchmarks import BENCHMARKS, concerned
from equipoise.measures import LOSS

if TYPE_CHECKING:
    from equipoise.config import Experiment, Task


def impossible_tasks(config: "Experiment") -> Iterator[str]:
    """Every combination of the tasks' keys that cannot work."""
    for name, task in config.tasks.items():
        yield from _suite(config, name, task)
        yield from _validation_data(config, name, task)


def impossible_suites(config: "Experiment") -> Iterator[str]:
    """Suites that evaluate nothing, and lm-eval tasks that a suite would evaluate for two tasks."""
    evaluated: dict[str, dict[str, str]] = {name: {} for name in config.suites}
    for name, task in config.tasks.items():
        owners = evaluated.get(task.suite or "", {})
        for lm_eval_task in task.lm_eval_tasks:
            if owners.setdefault(lm_eval_task, name) != name:
                yield f"tasks.{name}.lm_eval_tasks: {lm_eval_task} is evaluated for task {owners[lm_eval_task]} already; name it once"
    for name, suite in config.suites.items():
        if suite.measure == LOSS.name and len(suite.seeds) > 1:
            yield f"suites.{name}.seeds: {suite.seeds}, but held-out loss draws nothing; write one seed, or leave it out"
    for suite, owners in evaluated.items():
        if not owners and all(task.suite != suite for task in config.tasks.values()):
            yield f"suites.{suite}: no task is evaluated by it; write `suite: {suite}` under one of tasks, or leave it out"


def _suite(config: "Experiment", name: str, task: "Task") -> Iterator[str]:
    if task.suite is None:
        return
    if task.suite not in config.suites:
        known = ", ".join(config.suites) or "none defined"
        yield f"tasks.{name}.suite: no suite {task.suite!r}; write one of suites ({known})"
        return
    measure = config.suites[task.suite].measure
    if not task.lm_eval_tasks and (measure != LOSS.name or BENCHMARKS[task.benchmark].files != "examples"):
        yield (
            f"tasks.{name}: a task with a suite needs lm_eval_tasks: [name of an lm-eval task]; files of examples are enough for held-out "
            f"loss alone (suites.{task.suite}.measure: {LOSS.name})"
        )
    if (
        config.sandbox.mode == "off"
        and measure != LOSS.name
        and any(entry.runs_programs for entry in concerned(task.benchmark, task.lm_eval_tasks))
    ):
        yield (
            f"sandbox.mode: off, but tasks.{name} has a suite, whose evaluation runs programs that the model writes; write "
            f"sandbox.mode: auto (read the key's warning first), or leave tasks.{name}.suite out"
        )


def _validation_data(config: "Experiment", name: str, task: "Task") -> Iterator[str]:
    """Files that validation examples need and that are missing, and files that nothing would read."""
    where, source = f"tasks.{name}", BENCHMARKS[task.benchmark]
    substituted = source.substitutable and config.targets.validation == "leak_free"
    if substituted and not task.substitutes:
        yield (
            f"{where}.substitutes: {task.benchmark} has no split but its test set, so targets.validation: leak_free needs other "
            f"examples; write substitutes: [path/to/{name}.jsonl] with lines of prompt and response"
        )
    if task.substitutes and not source.substitutable:
        splits = source.tasks or source.any_task
        own = "a split of its own for targets.validation: leak_free" if splits else "no test items of its own"
        yield f"{where}.substitutes: nothing would read them ({task.benchmark} has {own}); leave them out"
    if not (task.files or task.substitutes or task.test_files) and (task.format or task.columns or task.bad_rows != "refuse"):
        yield f"{where}.format, columns, bad_rows: there are no files that they would be about; leave them out"
    if source.any_task and not task.lm_eval_tasks:
        yield f"{where}.lm_eval_tasks: {task.benchmark} draws from the tasks that are named there; write lm_eval_tasks: [arc_challenge]"
    if source.files and not substituted and not task.files:
        yield f"{where}.files: {task.benchmark} has no {source.files} of its own; write files: [path/to/{source.files}.jsonl]"
    if task.test_files and (task.lm_eval_tasks or not task.suite):
        reader = "the items are those of lm_eval_tasks" if task.lm_eval_tasks else "it has no suite"
        yield f"{where}.test_files: nothing would read them ({reader}); leave them out"
    if not source.files and task.files:
        yield f"{where}.files: nothing would read them ({task.benchmark} has its own data); leave them out, or write benchmark: jsonl"
