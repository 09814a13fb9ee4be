"""An entry of the report's catalogue: one table or figure, and the section of the page that it stands in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from equipoise.config import Experiment

FORMATS = {"table": ("html", "csv", "md", "tex"), "figure": ("svg", "pdf", "png", "csv")}
"""Endings of the files of each kind of result; `snakemake --report` displays the first."""

Condition = Callable[[Experiment], bool]


@dataclass(frozen=True)
class Section:
    """A section of the page, and the category of its results in `snakemake --report`.

    No category may be called Workflow or Statistics: Snakemake puts link targets of these names below every caption, and a second one of
    the same name is an error message in the caption.
    """

    id: str
    heading: str
    category: str


@dataclass(frozen=True)
class Result:
    """One table or figure.

    kind: a key of `FORMATS`. implementation: `module:function` in this room; the function's name is that of the result and of its files,
    its docstring the caption: what the result shows in any experiment. title: without a full stop.
    when: whether an experiment has it, by its configuration alone.
    """

    kind: str
    implementation: str
    section: Section
    title: str
    when: Condition = lambda config: True

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
        made = self.load()(material)
        return replace(made, name=self.name, title=self.title, caption=f"{self.caption} {made.caption}".strip())
