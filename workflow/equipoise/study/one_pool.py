"""Everything of one pool of a study in one process: data, warm-up, the gradients of every estimator, all arms.

An arm is a selector at a budget on an estimator's matrix, fine-tuned with a seed. Estimators share data, warm-up and whatever looks at no
influence; a further estimator's rankings, selections and runs lie beside the own one's (`Gradients.of`). Every stage leaves what it always
leaves and keeps what is there, so that a study that was killed goes on; arms that chose the same rows in the same order share one run.
"""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.collecting import INFLUENCE, row_shards, scored_columns
from equipoise.comparison import compared
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.estimators import row_estimator
from equipoise.experiment import evaluations, experiment_runs, gradient_epochs, run_epochs
from equipoise.files import write_text
from equipoise.inputs import read_jsonl
from equipoise.layout import Run
from equipoise.miniature.composition import audit_selection, read_metadata
from equipoise.progress import log
from equipoise.selectors import selector
from equipoise.store.artefact import Artefact, open_artefact
from equipoise.store.kind import scores_names
from equipoise.store.manifest import fingerprint

if TYPE_CHECKING:
    from equipoise.evaluation.session import Session


@dataclass(frozen=True)
class Arm:
    """One run and what it was worth. estimator: empty where the selector looks at no influence.

    tasks: scores in per cent; none where the training failed. audit: of its selection, in per cent; none where nothing was chosen.
    """

    estimator: str
    selector: str
    selection_seed: int
    budget: str
    seed: int
    tasks: dict[str, float]
    audit: dict[str, float] | None

    @property
    def macro(self) -> float:
        """Mean over tasks."""
        return statistics.fmean(self.tasks.values())


@dataclass(frozen=True)
class Result:
    """All that a study needs of a finished pool. scales: mean standard deviation of every estimator's columns by task, which normalisation
    evens out."""

    arms: list[Arm]
    scales: list[dict[str, object]]


def identity(config: Experiment) -> str:
    """Of what a pool's results were made for."""
    return fingerprint(config.model_dump(mode="json"))


def read_result(path: Path, config: Experiment) -> Result | None:
    """What a pool's file holds; none where it is not finished, or was made for another configuration.

    Raises `UserError` for a file that is not a pool's result, such as one cut off by copying.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return Result([Arm(**arm) for arm in content["arms"]], content["scales"]) if content.get("made_for") == identity(config) else None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{path}: not a pool's result ({error}); remove it, and the study makes the pool again") from error


def run_pool(config: Experiment, path: Path) -> None:
    """Makes what is missing of a pool's experiment, and writes its result and the processor seconds of every step to `path`, last.

    Raises `UserError` for a run whose training does not stay finite: it has no score to compare.
    """
    watch = _Watch()
    _make_matrices(config, watch)
    arms = list(_arms(config, watch))
    values = {"made_for": identity(config), "arms": [asdict(arm) for arm in arms], "scales": _scales(config), "seconds": watch.seconds}
    write_text(path, json.dumps(values, indent=1) + "\n")
    log(f"study: {config.experiment}: {len(arms)} arms in {sum(watch.seconds.values()):,.0f} s -> {path}")


class _Watch:
    """Processor seconds by step: on one thread those of a quiet machine, whatever else runs."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.process_time() - start, 1)


def _make_matrices(config: Experiment, watch: _Watch) -> None:
    """Data, warm-up, and the matrices of every estimator that is compared."""
    from equipoise.attribution.seal import attribute
    from equipoise.checking.check_base import check_base
    from equipoise.data.pool import prepare_pool
    from equipoise.data.targets import prepare_targets
    from equipoise.gradients.score_pool import score_pool
    from equipoise.miniature.generate import generate
    from equipoise.training.warm_up import warm_up

    with watch("data"):
        generate(config)
        prepare_targets(config, list(config.tasks))
        prepare_pool(config)
        check_base(config)
    with watch("score_pool"):
        for column in scored_columns(config):
            for shard in range(config.pool.shards):
                score_pool(config, column, shard)
    with watch("warm_up"):
        warm_up(config)
    made: list[Experiment] = []
    for each in compared(config):
        with watch(f"gradients {each.gradients.estimator}"):
            _share_fit(each, made)
            _collect(each)
        made.append(each)
        with watch("attribution"):
            attribute(each)


def _share_fit(config: Experiment, made: list[Experiment]) -> None:
    """Lays what an estimator of `made` has fitted where this one looks for it, if both fit the same: it finds it finished.

    What is there is held to its fingerprint by the fit itself.
    """

    def fitted(each: Experiment) -> tuple[str, tuple[str, ...]] | None:
        fit = row_estimator(each.gradients).fitted
        return (fit.implementation, fit.reads) if fit and not fit.from_rows else None

    alike = next((each for each in made if fitted(config) and fitted(each) == fitted(config)), None)
    for epoch in gradient_epochs(config) if alike else []:
        place = Path(config.layout.curvature(epoch))
        if not place.exists():
            shutil.copytree(alike.layout.curvature(epoch), place)


def _collect(config: Experiment) -> None:
    """The gradients of one estimator and what it fits, in the workflow's order."""
    from equipoise.collecting import collects_states
    from equipoise.curvature.fit import fit_curvature
    from equipoise.gradients.collect import collect_pool_gradients, collect_pool_states, collect_target_gradients, collect_target_states

    epochs, rows, tasks = gradient_epochs(config), row_estimator(config.gradients), list(config.tasks)
    if rows and rows.fitted and not rows.fitted.from_rows:
        fit_curvature(config, epochs)
    if rows:
        for shard in range(row_shards(config)):
            collect_pool_gradients(config, epochs, shard)
    if rows and rows.fitted and rows.fitted.from_rows:
        fit_curvature(config, epochs)
    if rows:
        collect_target_gradients(config, epochs, tasks)
    if collects_states(config, "pool"):
        for shard in range(config.pool.shards):
            collect_pool_states(config, shard)
    if collects_states(config, "target"):
        collect_target_states(config, tasks)


def planned_arms(config: Experiment) -> list[tuple[Experiment, Run]]:
    """Every arm once: those that look at influence on every estimator that is asked for, the others with the experiment's own one.

    Asked for are `validation.estimators`, or the experiment's own alone where none are named.
    """
    asked = config.validation.estimators or [config.gradients.estimator]
    planned = []
    for each in compared(config):
        for run in experiment_runs(config):
            of_influence = selector(run.selector).matrix == INFLUENCE
            own, swept = not each.gradients.place, run.epochs == run_epochs(config, run.selector)[-1]
            if swept and (each.gradients.estimator in asked if of_influence else own):
                planned.append((each, run))
    return planned


def _arms(config: Experiment, watch: _Watch) -> Iterator[Arm]:
    from equipoise.evaluation.session import Session
    from equipoise.modelling.base import load_base, resolve_device

    base = load_base(config.model, config.model.precision, resolve_device(config.model.device))
    session, audit = Session(config, base), _auditor(config)
    ranked: set[tuple[str, str, int]] = set()
    scored: dict[tuple, dict[str, float]] = {}
    for each, run in planned_arms(config):
        estimator = each.gradients.estimator if selector(run.selector).matrix == INFLUENCE else ""
        rows: list[int] = []
        if run.trained:
            with watch("select"):
                rows = _selected(each, run, ranked)
        key = (tuple(rows), run.epochs, run.seed)
        if key not in scored:
            scored[key] = _scores(each, run, session, base, watch)
        audited = audit(rows) if selector(run.selector).chooses else None
        yield Arm(estimator, run.selector, run.selection_seed, run.budget, run.seed, scored[key], audited)


def _selected(config: Experiment, run: Run, ranked: set[tuple[str, str, int]]) -> list[int]:
    """Rows that a run is trained on, in rank order; ranks and selects what this process has not."""
    from equipoise.selection.rank import rank
    from equipoise.selection.select_budget import select_budget

    of = (config.gradients.place, run.selector, run.selection_seed)
    if of not in ranked:
        rank(config, run.selector, run.selection_seed)
        ranked.add(of)
    select_budget(config, run.selector, run.selection_seed, run.budget)
    selection = open_artefact(config, "selection", selector=run.selector, selection_seed=run.selection_seed, budget=run.budget)
    return [line["row"] for _, line in read_jsonl(selection.only_file())]


def _scores(config: Experiment, run: Run, session: "Session", base, watch: _Watch) -> dict[str, float]:
    """Scores of every task in per cent, of several generation seeds the median."""
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.training.divergence import failure
    from equipoise.training.fine_tune import fine_tune

    if run.trained:
        with watch("fine_tune"):
            fine_tune(config, run, base)
        if reason := failure(config, run):
            raise UserError(f"study: {config.experiment}, {run.path}: {reason}; a study compares scores, and this run has none")
    values: dict[str, list[float]] = {}
    with watch("evaluate"):
        for suite, part in evaluations(config):
            evaluate(config, run, suite, part, session)
            made: Artefact = open_artefact(config, "scores", **scores_names(run, suite, part))
            for task, score in made["tasks"].items():
                values.setdefault(task, []).append(score["score"])
    return {task: statistics.median(scores) for task, scores in values.items()}


def _auditor(config: Experiment) -> Callable[[list[int]], dict[str, float]]:
    """Audits selected rows: percent by kind, of repeats, and by source (`from <task>`)."""
    import pyarrow.parquet as pq

    pool = pq.read_table(open_artefact(config, "pool").only_file(), columns=["id", "source", "metadata"]).to_pydict()
    metadata = read_metadata(pool["metadata"])

    def audit(rows: list[int]) -> dict[str, float]:
        found = audit_selection(rows, pool["id"], pool["source"], metadata)
        shares = {name: value for name, value in asdict(found).items() if name not in ("tasks", "rows")}
        return {name: round(value, 2) for name, value in (shares | {f"from {t}": s for t, s in sorted(found.tasks.items())}).items()}

    return audit


def _scales(experiment: Experiment) -> list[dict[str, object]]:
    rows = []
    for each in compared(experiment):
        manifest = open_artefact(each, "matrix", matrix="influence")
        by_task: dict[str, list[float]] = {}
        for column, deviation in zip(manifest["columns"], manifest["std"], strict=True):
            by_task.setdefault(column["task"], []).append(deviation)
        of = {"experiment": experiment.experiment, "estimator": each.gradients.estimator}
        rows += [of | {"task": task, "std": statistics.fmean(deviations)} for task, deviations in by_task.items()]
    return rows
