"""How far an experiment is: the runs that are finished, and what the others wait for. A partial report is made from these runs alone."""

from dataclasses import dataclass
from pathlib import Path

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import evaluations, experiment_runs, selections, trained_runs
from equipoise.jobs import Stage, stages
from equipoise.layout import Run
from equipoise.selectors import selector
from equipoise.store.artefact import open_artefact
from equipoise.store.kind import scores_names

UNTRAINED = ("generate_miniature", "fetch", "prepare_targets", "check_base")
"""What the evaluation of the untouched base comes after."""


@dataclass(frozen=True)
class Unfinished:
    """Runs of a selector at a budget and for some epochs, not all of them finished: how many are, of how many, and what the first of the
    others waits for: a stage that comes next, or words on scores that are there and cannot be used."""

    selector: str
    budget: str
    epochs: int
    finished: int
    runs: int
    waits_for: str


@dataclass(frozen=True)
class Standing:
    """An experiment now. finished: its finished runs, in table order; runs: how many it has. config: the experiment with those selectors
    alone of which every selection is there."""

    whole: Experiment
    config: Experiment
    finished: tuple[Run, ...]
    runs: int
    unfinished: tuple[Unfinished, ...]

    @property
    def sentence(self) -> str:
        """What stands in place of the verdict."""
        if not self.unfinished:
            return f"Not decided on this page: all {self.runs} runs are finished, and the report itself compares them."
        return f"Not decided yet: {len(self.finished)} of {self.runs} runs are finished, and a verdict needs them all."


def standing_of(config: Experiment) -> Standing:
    """Looks at every score file, selection and manifest that the experiment has."""
    planned = stages(config)
    reasons = {run: _reason(config, run, planned) for run in experiment_runs(config)}
    arms: dict[tuple[str, str, int], list[str]] = {}
    for run, reason in reasons.items():
        arms.setdefault((run.selector, run.budget, int(run.epochs)), []).append(reason)
    unfinished = [Unfinished(*arm, found.count(""), len(found), next(filter(None, found))) for arm, found in arms.items() if any(found)]
    there = [name for name in config.selectors if not selector(name).chooses or _is_selected(config, name)]
    finished = tuple(run for run, reason in reasons.items() if not reason)
    return Standing(config, config.model_copy(update={"selectors": there}), finished, len(reasons), tuple(unfinished))


def _is_selected(config: Experiment, name: str) -> bool:
    """Whether every selection of a selector that a run is trained on is there."""
    paths = selections(config, [run for run in trained_runs(config) if run.selector == name])
    return all(Path(path).exists() for path in paths)


def _reason(config: Experiment, run: Run, planned: list[Stage]) -> str:
    """Why a run is not finished; empty where it is."""
    for suite, part in evaluations(config):
        if not Path(config.layout.scores(run, suite, part)).exists():
            return _next_stage(run, planned)
        try:
            open_artefact(config, "scores", **scores_names(run, suite, part))
        except UserError as error:
            return str(error)
    return ""


def _next_stage(run: Run, planned: list[Stage]) -> str:
    """The first stage that is not done of those that a run's scores come after."""
    own = {"fine_tune": (run,), "select_budget": (run.selector, run.selection_seed, run.budget), "rank": (run.selector, run.selection_seed)}
    items = [item for stage in planned for job in stage.jobs for item in job if not item.estimator]
    waits_for = "evaluate"
    for kind, key in own.items() if run.trained else ():  # from the end: what is made needs nothing before it
        if next(item for item in items if (item.kind, item.key) == (kind, key)).done:
            return waits_for
        waits_for = kind
    before = {stage.name for stage in planned[: [stage.name for stage in planned].index("rank")]} if run.trained else UNTRAINED
    return next((item.kind for item in items if item.kind in before and not item.done), waits_for)
