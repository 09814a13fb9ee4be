"""A training that is no longer finite: how it is seen and what is said."""

import math

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.layout import Run
from equipoise.store.artefact import open_artefact
from equipoise.store.kind import run_names

REMEDY = "try a lower training.learning_rate, a longer training.warmup_ratio, or model.precision: fp32"


class Diverged(UserError):
    """A loss, gradient norm or adapter that is not finite: the training has stopped and nothing of that step is kept."""


def refuse_non_finite(title: str, step: int, **values: float) -> None:
    """Raises `Diverged` for the first of `values` that is not finite. title: which training; step: from 1."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(f"{title}: {name.replace('_', ' ')} is {value} at step {step}; {REMEDY}")


def failure(config: Experiment, run: Run) -> str | None:
    """Why a trained run has no adapter, by its manifest; None where it has one, or where nothing is trained."""
    return open_artefact(config, "run", **run_names(run)).get("failed") if run.trained else None
