"""The kinds of artefacts: where the manifest of each lies, what makes it, and what it is made from. One entry a kind.

What an artefact is made from is known from the configuration alone: keys that count (determinants.py), manifests of other artefacts, and
files of the user's. Whoever makes one writes it into the manifest (`provenance`), and whoever reads one compares it with what holds now:
an artefact of another configuration, of an older run or of another place is another artefact.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from equipoise.collecting import INFLUENCE, STATES, is_own, is_predicted, score_files, store_kind
from equipoise.comparison import RANDOM, Candidate, candidate, candidates, column_source, estimated_by, groups, retrainings
from equipoise.config import Experiment
from equipoise.conversation.sources import input_files
from equipoise.determinants import READS, determinants
from equipoise.errors import UserError
from equipoise.estimators import row_estimator
from equipoise.experiment import (
    ZERO_SHOT,
    assembled_shards,
    chooses_dimension,
    collected_shards,
    fitted,
    gradient_epochs,
    matrix_epochs,
    shards,
    step_epochs,
)
from equipoise.layout import Layout, Run, part_label
from equipoise.measures import LOSS
from equipoise.selectors import SAMPLED, SCORED, STORED, selector
from equipoise.store.digests import remembered_digest
from equipoise.store.manifest import fingerprint, read_manifest

Names = Mapping[str, str]
"""What tells an artefact from the others of its kind: epoch, shard, task, ..., all as text."""
Reference = tuple[str, Names]
"""Kind and names of an artefact."""
RUN = ("selector", "selection_seed", "budget", "epochs", "seed")
NUMBERS = ("epoch", "epochs", "shard", "seed", "selection_seed")
FORMS = {"budget": r"[0-9.]+", "place": "(?:estimators/[^/]+/)?"}
REMEMBERED = 1 << 20  # bytes; larger files of the user's are read once, and then known by size and time


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


def _every_target(config: Experiment, of: Names) -> list[Reference]:
    return [("targets", {"task": task}) for task in config.tasks]


def _pool_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [("contamination", {})] if config.pool.decontaminate == "remove" else []


def _warm_up_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [] if config.warmup.files else [("pool", {})]


def _fit(config: Experiment, side: str, epoch: str) -> list[Reference]:
    """What the estimator has fitted at an epoch, where a side is made with it."""
    return [("curvature", {"epoch": epoch})] if fitted(config, side, epoch) else []


def _curvature_inputs(config: Experiment, of: Names) -> list[Reference]:
    fit = row_estimator(config.gradients).fitted
    rows = (
        [("pool_gradients", {"epoch": of["epoch"], "shard": shard}) for shard in collected_shards(config)] if fit and fit.from_rows else []
    )
    return [("pool", {}), ("checkpoint", {"epoch": of["epoch"]}), *rows]


def _width(config: Experiment) -> list[Reference]:
    """The width of the projection, where a pilot finds it out."""
    return [("projection", {})] if chooses_dimension(config) else []


def _projection_inputs(config: Experiment, of: Names) -> list[Reference]:
    epochs = [str(epoch) for epoch in gradient_epochs(config)]
    fits = [each for epoch in epochs for side in ("pool", "target") for each in _fit(config, side, epoch)]
    unique = {str(each): each for each in fits}.values()
    return [("pool", {}), *_every_target(config, of), *(("checkpoint", {"epoch": epoch}) for epoch in epochs), *unique]


def _pool_gradients_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [("pool", {}), ("checkpoint", {"epoch": of["epoch"]}), *_fit(config, "pool", of["epoch"]), *_width(config)]


def _target_gradients_inputs(config: Experiment, of: Names) -> list[Reference]:
    pool = [("pool", {})] if "pool_manifest" in row_estimator(config.gradients).needs["target"] else []
    own = [("targets", {"task": of["task"]}), ("checkpoint", {"epoch": of["epoch"]})]
    return [*own, *pool, *_fit(config, "target", of["epoch"]), *_width(config)]


def _pool_states_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [("pool", {}), ("checkpoint", {"epoch": of["epoch"]})]


def _target_states_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [("targets", {"task": of["task"]}), ("checkpoint", {"epoch": of["epoch"]})]


def _shard_inputs(config: Experiment, of: Names) -> list[Reference]:
    if is_own(config, of["matrix"]):
        return [("pool", {}), *_every_target(config, of)]
    if is_predicted(config, of["matrix"]):
        own = [("pool_states", {"epoch": str(config.warmup.epochs), "shard": s}) for s in assembled_shards(config).get(of["shard"], [])]
        return [("influence_model", {}), *own, *_every_target(config, of)]
    epochs = [str(epoch) for epoch in matrix_epochs(config, of["matrix"])]
    pool, target = (store_kind(config, side, of["matrix"]) for side in ("pool", "target"))
    parts: list[Reference] = []
    for epoch in epochs:
        parts.append(("checkpoint", {"epoch": epoch}))
        parts += [(pool, {"epoch": epoch, "shard": shard}) for shard in assembled_shards(config, of["matrix"]).get(of["shard"], [])]
        parts += [(target, {"epoch": epoch, "task": task}) for task in config.tasks]
        parts += _fit(config, "matrix", epoch) if of["matrix"] not in STATES else []
    return parts


def _model_inputs(config: Experiment, of: Names) -> list[Reference]:
    states = [("pool_states", {"epoch": str(config.warmup.epochs), "shard": shard}) for shard in shards(config)]
    return [("pool", {}), ("matrix", {"matrix": SAMPLED}), *states]


def _ranking_inputs(config: Experiment, of: Names) -> list[Reference]:
    entry = selector(of["selector"])
    used = dict.fromkeys([INFLUENCE, entry.matrix or INFLUENCE])
    scored = [("pool_scores", {"column": name, "shard": shard}) for name in entry.pool if name in SCORED for shard in shards(config)]
    epochs = gradient_epochs(config) if set(entry.pool) & set(STORED) else []
    stored = [("pool_gradients", {"epoch": str(epoch), "shard": shard}) for epoch in epochs for shard in collected_shards(config)]
    last, kind = str(config.warmup.epochs), store_kind(config, "pool", entry.states) if entry.states else ""
    states = [(kind, {"epoch": last, "shard": shard}) for shard in shards(config)] if entry.states else []
    return [("pool", {}), *(("matrix", {"matrix": name}) for name in used), *scored, *stored, *states]


def _selection_inputs(config: Experiment, of: Names) -> list[Reference]:
    ranking = {name: of[name] for name in ("selector", "selection_seed")}
    return [("ranking", ranking), ("pool", {}), ("matrix", {"matrix": INFLUENCE})]


def _run_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [("selection", {name: of[name] for name in ("selector", "selection_seed", "budget")}), ("pool", {})]


def _scores_inputs(config: Experiment, of: Names) -> list[Reference]:
    trained = [] if of["selector"] == ZERO_SHOT else [("run", {name: of[name] for name in RUN})]
    return [*trained, *(("targets", {"task": task}) for task, entry in config.tasks.items() if entry.suite == of["suite"])]


def _trial_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [("pool", {}), *_every_target(config, of)]


def _one_step_inputs(config: Experiment, of: Names) -> list[Reference]:
    return [*_trial_inputs(config, of), ("checkpoint", {"epoch": of["epoch"]})]


def _candidate_inputs(config: Experiment, each: Candidate) -> list[Reference]:
    """What a candidate's predictions are read from."""
    if each.column:
        place = column_source(config).gradients.place
        return [("pool_gradients", {"epoch": str(config.warmup.epochs), "shard": shard, "place": place}) for shard in shards(config)]
    place = estimated_by(config, each.estimator or "").gradients.place
    return [("matrix", {"matrix": each.matrix or INFLUENCE, "place": place})] if each.by_task else []


def _retraining_inputs(config: Experiment, of: Names) -> list[Reference]:
    members = groups(config).get(of["group"])
    chosen = _candidate_inputs(config, candidate(config, members[0].of)) if members and members[0].of != RANDOM else []
    return [*_trial_inputs(config, of), *chosen]


def _validation_inputs(config: Experiment, of: Names) -> list[Reference]:
    predicted = [each for one in candidates(config) for each in _candidate_inputs(config, one)]
    steps = [("one_step", {"epoch": str(epoch)}) for epoch in step_epochs(config)] if config.validation.one_step.rows else []
    return [*predicted, *steps, *(("retraining", {"group": each.group, "name": each.name}) for each in retrainings(config))]


def _searched_files(config: Experiment, of: Names) -> list[str]:
    return [*config.pool.files, *(file for task in config.tasks.values() if task.suite for file in task.test_files)]


def _scores_files(config: Experiment, of: Names) -> list[str]:
    tasks = [task for task in config.tasks.values() if task.suite == of["suite"]] if of["part"] == LOSS.name else []
    return [file for task in tasks for file in (*task.test_files, *task.files)]


def _task_scope(config: Experiment, of: Names) -> dict[str, Any]:
    suite = config.tasks[of["task"]].suite
    return {"tasks": [of["task"]], "suites": [suite] if suite else []}


def _suite_scope(config: Experiment, of: Names) -> dict[str, Any]:
    return {"tasks": [name for name, task in config.tasks.items() if task.suite == of["suite"]], "suites": [of["suite"]]}


SELECTED = ("selector", "selection_seed", "budget")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("fetch", "fetch", lambda layout: layout.fetch_manifest),
        Kind("base", "check_base", lambda layout: layout.base_manifest),
        Kind(
            *("targets", "prepare_targets", lambda layout, task: layout.target_manifest(task), ("task",)),
            sources=lambda config, of: [*config.tasks[of["task"]].files, *config.tasks[of["task"]].substitutes],
            scope=_task_scope,
        ),
        Kind(
            *("contamination", "decontaminate", lambda layout: layout.contamination),
            inputs=_every_target,
            sources=_searched_files,
        ),
        Kind(
            *("pool", "prepare_pool", lambda layout: layout.pool_manifest),
            inputs=_pool_inputs,
            sources=lambda config, of: config.pool.files,
        ),
        Kind(
            *("pool_scores", "score_pool", lambda layout, column, shard: layout.pool_scores_manifest(column, shard)),
            names=("column", "shard"),
            inputs=lambda config, of: [("pool", {})],
        ),
        Kind(
            *("checkpoint", "warm_up", lambda layout, epoch: layout.checkpoint_manifest(epoch), ("epoch",)),
            inputs=_warm_up_inputs,
            sources=lambda config, of: config.warmup.files,
        ),
        Kind("curvature", "fit_curvature", lambda layout, epoch: layout.curvature_manifest(epoch), ("epoch",), _curvature_inputs),
        Kind("projection", "choose_dimension", lambda layout: layout.projection_manifest, inputs=_projection_inputs),
        Kind(
            *("pool_gradients", "collect_pool_gradients", lambda layout, epoch, shard: layout.pool_gradients_manifest(epoch, shard)),
            names=("epoch", "shard"),
            inputs=_pool_gradients_inputs,
        ),
        Kind(
            *("target_gradients", "collect_target_gradients", lambda layout, epoch, task: layout.target_gradients_manifest(epoch, task)),
            names=("epoch", "task"),
            inputs=_target_gradients_inputs,
        ),
        Kind(
            *("pool_states", "collect_pool_states", lambda layout, epoch, shard: layout.pool_states_manifest(epoch, shard)),
            names=("epoch", "shard"),
            inputs=_pool_states_inputs,
        ),
        Kind(
            *("target_states", "collect_target_states", lambda layout, epoch, task: layout.target_states_manifest(epoch, task)),
            names=("epoch", "task"),
            inputs=_target_states_inputs,
        ),
        Kind(
            *("matrix_shard", "assemble_attribution", lambda layout, matrix, shard: layout.matrix_shard_manifest(matrix, shard)),
            names=("matrix", "shard"),
            inputs=_shard_inputs,
            sources=lambda config, of: score_files(config) if is_own(config, of["matrix"]) else (),
        ),
        Kind("influence_model", "fit_influence_model", lambda layout: layout.influence_model_manifest, inputs=_model_inputs),
        Kind("matrix", "seal_attribution", lambda layout, matrix: layout.matrix_manifest(matrix), ("matrix",), _every_target, rows=True),
        Kind(
            *("ranking", "rank", lambda layout, selector, selection_seed: layout.ranking_manifest(selector, selection_seed)),
            names=SELECTED[:2],
            inputs=_ranking_inputs,
        ),
        Kind("selection", "select_budget", lambda layout, **of: layout.selection_manifest(**of), SELECTED, _selection_inputs),
        Kind("run", "fine_tune", lambda layout, **of: layout.run_manifest(run_of(of)), RUN, _run_inputs),
        Kind(
            *("scores", "evaluate", lambda layout, suite, part, **of: layout.scores(run_of(of), suite, part)),
            names=(*RUN, "suite", "part"),
            inputs=_scores_inputs,
            sources=_scores_files,
            scope=_suite_scope,
        ),
        Kind("one_step", "measure_one_step", lambda layout, epoch: layout.one_step_manifest(epoch), ("epoch",), _one_step_inputs),
        Kind(
            *("retraining", "retrain", lambda layout, group, name: layout.retraining(group, name)),
            names=("group", "name"),
            inputs=_retraining_inputs,
        ),
        Kind("retrainings", "retrain", lambda layout, group: layout.retraining_group(group), ("group",)),
        Kind("validation", "validate_influence", lambda layout: layout.validation, inputs=_validation_inputs),
        Kind("fold", "fine_tune_and_evaluate", lambda layout, **of: layout.fold_manifest(**of), SELECTED[:2]),
    )
}


def provenance(config: Experiment, kind: str, of: Names) -> dict[str, dict[str, Any]]:
    """What an artefact made now, by this configuration, is made from: `configured`, values by key, and `made_from`, digests by name.

    An input that is not there has the digest null, the user's files are left out unless all are there: what was copied elsewhere is read
    without them. Raises `UserError` for an input whose manifest is damaged.
    """
    entry, layout = KINDS[kind], config.layout
    made_from: dict[str, Any] = {}
    for name, its in entry.inputs(config, of):
        path = KINDS[name].manifest(layout, its)
        made_from[path.removeprefix(f"{layout.experiment_root}/")] = identity(path, name)
    if entry.rows:
        made_from["rows"] = fingerprint(matrix_rows(config, of["matrix"]))
    if files := own_files(config, kind, of):
        made_from["files"] = files
    return {"configured": configured(config, kind, of), "made_from": made_from}


def configured(config: Experiment, kind: str, of: Names) -> dict[str, Any]:
    """Values of the keys that determine an artefact, by path."""
    entry = KINDS[kind]
    return determinants(config, entry.stage, **entry.scope(config, of)) if entry.stage in READS else {}


def own_files(config: Experiment, kind: str, of: Names) -> str | None:
    """Digest of the user's files that an artefact is made from; none where there are none, or not all are here."""
    files: list[str] = []
    with suppress(UserError):  # a pattern that fits no file any more
        files = input_files(list(KINDS[kind].sources(config, of)))
    if files and all(Path(file).is_file() for file in files):
        return fingerprint([remembered_digest(file, REMEMBERED) for file in files])
    return None


_known: dict[tuple[str, str], tuple[tuple[int, ...], Any]] = {}


def _of_manifest(path: str, kind: str, what: str, take: Callable[[dict[str, Any]], Any]) -> Any:
    """`take` of a manifest's content, or none where it is not there; read again when the file is another (a job asks for some often)."""
    try:
        state = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    seen = (state.st_ino, state.st_size, state.st_mtime_ns)
    if _known.get((path, what), (None,))[0] != seen:
        _known[path, what] = seen, take(read_manifest(path, kind))
    return _known[path, what][1]


def identity(path: str, kind: str) -> str | None:
    """What identifies an artefact's content, however it was cut into jobs: its fingerprint, files and chunks."""
    kept = ("kind", "of", "fingerprint", "files", "arrays", "digest")
    return _of_manifest(path, kind, "identity", lambda content: fingerprint({key: content[key] for key in kept if key in content}))


def matrix_rows(config: Experiment, matrix: str) -> list[str]:
    """Digests of a matrix's chunks in row order, as the manifests of its shards list them."""
    of_shards = (config.layout.matrix_shard_manifest(matrix, first) for first in assembled_shards(config, matrix))
    return [
        digest for path in of_shards for digest in _of_manifest(path, "matrix_shard", "digests", lambda content: content["digests"]) or []
    ]
