"""The section `validation` of the configuration: how estimators are put to the proof, and how large each trial is.

What the trials measure: method.md, "Validation of estimators".
"""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.config_keys import JOBS, EstimatorName, Name, Section, Seed

Share = Annotated[float, Field(gt=0, lt=1)]


class OneStep(Section):
    """One optimizer step on a pool row alone, at every epoch whose gradients make the matrix: what does it do to the losses?"""

    rows: int = Field(200, ge=0, description="Pool rows, drawn by seed; 0: not measured.")


class Subsets(Section):
    """Fine-tunings on random subsets of the pool: does the sum of a subset's influence tell its losses (LDS)?"""

    count: int = Field(40, ge=0, description="Subsets, drawn by seed; 0: not measured.")
    share: Share = Field(0.5, description="Share of the pool in a subset.")
    strata: Literal["none", "source"] = Field(
        "none",
        description="source: each source of the pool (task, data set) is drawn at another rate in each subset, so that losses "
        "differ more; none: all rows at the same rate.",
    )
    seeds: list[Seed] = Field([0, 1], min_length=1, description="Training seeds on every subset; two or more tell how much is noise.")


class Removal(Section):
    """Fine-tunings without a task's most helpful rows, and with these alone, against as many random ones (QLD)."""

    without: list[Share] = Field([0.1], description="Shares of the pool that are left out; []: not measured.")
    only: list[Share] = Field([0.05], description="Shares of the pool that are trained on alone; []: not measured.")
    tasks: list[Name] = Field([], description="Tasks whose most helpful rows are taken; []: all.")
    seeds: list[Seed] = Field([0], min_length=1, description="Training seeds.")
    draws: int = Field(3, ge=1, description="Random choices of as many rows, which all estimators are compared with.")


class Validation(Section):
    """What estimators are worth on this experiment's own data. Nothing is done until estimators are named."""

    estimators: Annotated[list[EstimatorName], JOBS] = Field(
        [], description="Estimators to compare with gradients.estimator and with baselines; every one collects gradients of the whole pool."
    )
    one_step: OneStep = Field(default_factory=OneStep, description="One optimizer step.")
    subsets: Subsets = Field(default_factory=Subsets, description="Fine-tunings on subsets.")
    removal: Removal = Field(default_factory=Removal, description="Fine-tunings without the most helpful rows, or with them alone.")
