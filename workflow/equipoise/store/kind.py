"""What a kind of artefact says of itself; and what tells an artefact from the others of its kind."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from equipoise.config import Experiment
from equipoise.layout import EPOCH, Layout, Run, part_label

Names = Mapping[str, str]
"""What tells an artefact from the others of its kind: epoch, shard, task, ..., all as text."""
Reference = tuple[str, Names]
"""Kind and names of an artefact."""
RUN = ("selector", "selection_seed", "budget", "epochs", "seed")
NUMBERS = ("epochs", "shard", "seed", "selection_seed")
FORMS = {"epoch": EPOCH, "budget": r"[0-9.]+", "place": "(?:estimators/[^/]+/)?"}


@dataclass(frozen=True)
class Kind:
    """stage: the command that makes it. path: of the manifest, by layout and names. inputs: artefacts it is made from. sources: files of
    the user's that it is made from. scope: tasks and suites whose keys count; none: all. rows: made from a matrix's rows."""

    name: str
    stage: str
    path: Callable[..., str]
    names: tuple[str, ...] = ()
    inputs: Callable[[Experiment, Names], Iterable[Reference]] = lambda config, of: ()
    sources: Callable[[Experiment, Names], Iterable[str]] = lambda config, of: ()
    scope: Callable[[Experiment, Names], dict[str, Any]] = lambda config, of: {}
    rows: bool = False

    def manifest(self, layout: Layout, of: Names) -> str:
        """Where the manifest lies; of another estimator that is compared where the names have its `place`."""
        placed = replace(layout, place=of.get("place", layout.place))
        return self.path(placed, **{name: value for name, value in of.items() if name != "place"})

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The end of a manifest's path, with the names in it as groups, and place: of an estimator that is compared."""
        whole = self.path(Layout("", "{experiment}", "{model}", "{place}"), **{name: f"{{{name}}}" for name in self.names})
        seen: set[str] = set()

        def group(found: re.Match) -> str:
            repeated = found[1] in seen
            seen.add(found[1])
            form = r"\d+" if found[1] in NUMBERS else FORMS.get(found[1], "[^/]+")
            return f"(?P={found[1]})" if repeated else f"(?P<{found[1]}>{form})"

        parts = re.split(r"(\{\w+\})", whole.removeprefix("/"))
        return re.compile(
            "(?:^|/)" + "".join(re.sub(r"\{(\w+)\}", group, each) if each[:1] == "{" else re.escape(each) for each in parts) + "$"
        )


def run_of(of: Names) -> Run:
    """The run of an artefact's names."""
    return Run(*(of[name] for name in RUN))


def run_names(run: Run) -> dict[str, str]:
    """A run as names of artefacts."""
    return {name: str(getattr(run, name)) for name in RUN}


def scores_names(run: Run, suite: str, part: int | str) -> dict[str, str]:
    """A part of a suite's evaluation of a run, as names of artefacts."""
    return {**run_names(run), "suite": suite, "part": part_label(part)}
