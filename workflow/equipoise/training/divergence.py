"""A training that is no longer finite: how it is seen and what is said."""

import math

from equipoise.errors import UserError

REMEDY = "try a lower training.learning_rate, a longer training.warmup_ratio, or model.precision: fp32"


class Diverged(UserError):
    """A loss, gradient norm or adapter that is not finite: the training has stopped and nothing of that step is kept."""


def refuse_non_finite(title: str, step: int, **values: float) -> None:
    """Raises `Diverged` for the first of `values` that is not finite. title: which training; step: from 1."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(f"{title}: {name.replace('_', ' ')} is {value} at step {step}; {REMEDY}")
