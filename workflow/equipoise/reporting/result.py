"""An entry of the report's catalogue: one table or figure, and the section of the page that it stands in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from equipoise.config import Experiment
from equipoise.layout import Run

FORMATS = {"table": ("html", "csv", "md", "tex"), "figure": ("svg", "pdf", "png", "csv")}
"""Endings of the files of each kind of result; `snakemake --report` displays the first."""

WITHOUT_RUNS = "The trainings of the runs that this shows have failed."

Condition = Callable[[Experiment, Sequence[Run]], bool]


@dataclass(frozen=True)
class Section:
    """A section of the page, and the category of its results in `snakemake --report`.

    No category may be called Workflow or Statistics: Snakemake puts link targets of these names below every caption, and a second one of
    the same name is an error message in the caption.
    """

    id: str
    heading: str
    category: str


class _Runs(Sequence):
    """The runs whose training has not failed; the scores are read only when a condition looks at them."""

    def __init__(self, material: Any):
        self._material = material

    def __len__(self) -> int:
        return len(self._material.bootstrap.evaluation.runs)

    def __getitem__(self, place: Any) -> Any:
        return self._material.bootstrap.evaluation.runs[place]


@dataclass(frozen=True)
class Result:
    """One table or figure.

    kind: a key of `FORMATS`. implementation: `module:function` in this room; the function's name is that of the result and of its files,
    its docstring the caption: what the result shows in any experiment. title: without a full stop.
    when: whether an experiment has it, by its configuration and runs: all of them, or those whose training has not failed.
    decides: whether it compares runs and says which side is better, so that a partial report has it not: one run more may turn it.
    """

    kind: str
    implementation: str
    section: Section
    title: str
    when: Condition = lambda config, runs: True
    decides: bool = False

    @property
    def name(self) -> str:
        return self.implementation.split(":")[1]

    @property
    def category(self) -> str:
        return self.section.category

    @property
    def files(self) -> tuple[str, ...]:
        """Paths below the report folder, the displayed one first."""
        return tuple(f"{self.kind}s/{self.name}.{ending}" for ending in FORMATS[self.kind])

    @property
    def caption_file(self) -> str:
        """File of the caption for `snakemake --report`, relative to workflow/."""
        return f"report/{self.name}.rst"

    @property
    def caption(self) -> str:
        """What it shows in any experiment, in one line; its modules are loaded for it."""
        return " ".join(self.load().__doc__.split())

    @property
    def labels(self) -> dict[str, str]:
        return {"result": self.title, "kind": self.kind}

    def load(self) -> Callable[[Any], Any]:
        """The function that makes it."""
        module, function = self.implementation.split(":")
        return getattr(import_module(f"equipoise.reporting.{module}"), function)

    def make(self, material: Any) -> Any:
        """The table or figure of an experiment, with this entry's words before those about the experiment's numbers."""
        from equipoise.reporting.table import lean

        there = self.when(material.config, _Runs(material))
        made = self.load()(material) if there else _without_runs(self.kind)
        made = replace(made, name=self.name, title=self.title, caption=f"{material.note}{self.caption} {made.caption}".strip())
        return lean(made) if self.kind == "table" else made


def _without_runs(kind: str) -> Any:
    """A table or figure whose runs have all failed."""
    import pandas as pd

    from equipoise.reporting.figure import Figure
    from equipoise.reporting.table import Column, Table

    frame = pd.DataFrame({"note": [WITHOUT_RUNS]})
    if kind == "table":
        return Table(WITHOUT_RUNS, frame, (Column("note", "Note", text=True),))

    def draw(pyplot: Any) -> Any:
        figure = pyplot.figure()
        figure.text(0.5, 0.5, WITHOUT_RUNS, ha="center")
        return figure

    return Figure(WITHOUT_RUNS, frame, draw)
