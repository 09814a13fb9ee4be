"""What the results of a report are made from: every part is read or computed once, when a result first asks for it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from equipoise.budgets import budget_rows, parse_budget
from equipoise.config import Experiment
from equipoise.experiment import measured
from equipoise.layout import Run
from equipoise.reporting import catalogue
from equipoise.reporting.bootstrap import DRAWS, Bootstrap
from equipoise.reporting.experiments import second_model
from equipoise.reporting.influence import Influence
from equipoise.reporting.labels import budget_text
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.validated import Validated, read_validated
from equipoise.seeds import derive_seed
from equipoise.store.artefact import open_artefact
from equipoise.store.table_rows import coded_column

if TYPE_CHECKING:
    from equipoise.reporting.figure import Figure
    from equipoise.reporting.table import Table

MEASURED = "benchmarks"  # where the workflow's rules write seconds and peak memory: <rule>/<experiment>/<model>/...


class Material:
    """An experiment as the functions of the catalogue see it. runs: those that count (none: all); note: put before every caption.

    Raises `UserError` naming the file when a score, sample, ranking, selection or the matrix that is asked for is missing or does not fit.
    """

    def __init__(
        self, config: Experiment, draws: int = DRAWS, benchmarks: str | Path = MEASURED, runs: Sequence[Run] | None = None, note: str = ""
    ):
        self.config = config
        self.runs = runs
        self.note = note
        self.draws = draws
        self.benchmarks = Path(benchmarks)
        self._made: dict[str, Table | Figure] = {}

    def make(self, name: str) -> "Table | Figure":
        """The result called `name`, made once."""
        if name not in self._made:
            (result,) = (known for known in catalogue.RESULTS if known.name == name)
            self._made[name] = result.make(self)
        return self._made[name]

    def frame(self, name: str) -> pd.DataFrame:
        """The numbers of the result called `name`."""
        return self.make(name).frame

    @cached_property
    def bootstraps(self) -> list[Bootstrap]:
        """One for every measure that the experiment has, accuracy first."""
        seed = derive_seed(self.config.seed, "report", "bootstrap")
        return [Bootstrap(read_evaluation(self.config, measure, self.runs), seed, self.draws) for measure in measured(self.config)]

    @property
    def bootstrap(self) -> Bootstrap:
        """That of the first measure."""
        return self.bootstraps[0]

    @cached_property
    def second(self) -> tuple[Experiment, list[Bootstrap]] | None:
        """The experiment with the second model of Table 4, where the configuration names one."""
        other = second_model(self.config)
        return (other, [Bootstrap(read_evaluation(other, measure), draws=self.draws) for measure in measured(other)]) if other else None

    @cached_property
    def influence(self) -> Influence:
        return Influence(self.config)

    @cached_property
    def validated(self) -> Validated:
        """The comparison of estimators, where there is one."""
        return read_validated(self.config)

    @cached_property
    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of the source of every pool row, int32, and the sources' names in their order."""
        return coded_column(open_artefact(self.config, "pool").only_file(), "source")

    @cached_property
    def valid(self) -> int:
        """Number of pool rows that may be chosen."""
        return int(self.influence.matrix.valid.sum())

    @property
    def budget(self) -> str:
        """Label of the budget of the influence figures."""
        return catalogue.shown_budget(self.config)

    @property
    def budget_text(self) -> str:
        return budget_text(self.budget)

    @property
    def rows(self) -> int:
        """Rows of a selection at `budget`."""
        return budget_rows(parse_budget(self.budget), self.valid)

    @property
    def most_rows(self) -> int:
        """Rows of the largest selection."""
        return max(budget_rows(budget, self.valid) for budget in self.config.budgets)
