"""Checks what options of the command line name against the experiment, before a stage starts: a bad name is one line with what exists."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.errors import UserError
from equipoise.estimators import ESTIMATORS, OTHERS
from equipoise.layout import Epoch, Run

if TYPE_CHECKING:
    from equipoise.config import Experiment


def one_of(option: str, value: str, known: Iterable[str]) -> str:
    """`value`, when it is known. Raises `UserError` that lists what is known."""
    known = list(known)
    if value not in known:
        raise UserError(f"{option} {value}: unknown; " + (f"write one of {', '.join(known)}" if known else "the experiment has none"))
    return value


def some_of(option: str, text: str, known: Iterable[str]) -> list[str]:
    """The names in a comma-separated text, all known ones for an empty text. Raises `UserError` that lists what is known."""
    known = list(known)
    return [one_of(option, name, known) for name in text.split(",")] if text else known


def cores_of(text: str) -> int:
    """A number of cores, or `all` of those that this process may use. Raises `UserError` for anything else."""
    if text == "all":
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or not int(text):
        raise UserError(f"--cores {text}: write a number of at least 1, or all")
    return int(text)


def seeds_of(option: str, text: str) -> list[int]:
    """Seeds from a comma-separated text. Raises `UserError` for anything else."""
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise UserError(f"{option} {text}: write seeds, whole numbers separated by commas, such as 0,1,2")
    return [int(part) for part in text.split(",")]


def epochs_of(config: "Experiment", text: str) -> list[Epoch]:
    """Epoch checkpoints from a comma-separated text, those of `gradients.epochs` for an empty one. Raises `UserError` that says which
    exist."""
    from equipoise.experiment import epochs, gradient_epochs

    named = {str(epoch): epoch for epoch in epochs(config)}
    return [named[name] for name in some_of("--epochs", text, named)] if text else gradient_epochs(config)


def run_of(config: "Experiment", text: str, trained: bool) -> Run:
    """The run of a path: one of the experiment's, or another one whose selection (trained) or adapter exists.

    trained: whether the run is to be trained now, as the untouched base never is. Raises `UserError` that names the closest runs,
    or the selection that is missing.
    """
    from equipoise.experiment import experiment_runs

    run, layout = Run.parse(text), config.layout
    known = [run for run in experiment_runs(config) if run.trained or not trained]
    basis = layout.selection(run.selector, run.selection_seed, run.budget) if trained else layout.run_manifest(run)
    if run not in known and not Path(basis).is_file():
        closest = difflib.get_close_matches(text, [run.path for run in known], 3, 0.0)
        raise UserError(f"--run {text}: the experiment has no such run, and {basis} is missing; closest of its runs: {', '.join(closest)}")
    if trained and not Path(basis).is_file():
        raise UserError(f"{basis}: missing; run select_budget --selector {run.selector} --budget {run.budget} first")
    return run


def refuse_missing_checkpoints(config: "Experiment", epochs: Iterable[Epoch]) -> None:
    """Raises `UserError` for an epoch whose checkpoint `warm_up` has not left."""
    from equipoise.store.artefact import open_artefact

    for epoch in epochs:
        open_artefact(config, "checkpoint", epoch=epoch)


def refuse_missing_targets(config: "Experiment", tasks: Iterable[str]) -> None:
    """Raises `UserError` for a task whose validation examples `prepare_targets` has not drawn."""
    from equipoise.store.artefact import open_artefact

    for task in tasks:
        open_artefact(config, "targets", task=task)


def estimated(config: "Experiment", name: str) -> "Experiment":
    """The experiment with one of the estimators that it compares, its own for an empty name. Raises `UserError` that lists them."""
    from equipoise.comparison import compared, estimated_by

    if name:
        one_of("--estimator", name, (each.gradients.estimator for each in compared(config)))
    return estimated_by(config, name)


def refuse_nothing_compared(config: "Experiment") -> None:
    """Raises `UserError` for an experiment that names no estimators to compare."""
    if not config.validation.estimators:
        known = ", ".join([*(entry.name for entry in ESTIMATORS), *OTHERS])
        raise UserError(f"validation.estimators: none are named, so there is nothing to compare; write some of {known}")
