"""The kinds of artefacts: where the manifest of each lies, what makes it, and what it is made from. One entry a kind.

What an artefact is made from is known from the configuration alone: keys that count (determinants.py), manifests of other artefacts, and
files of the user's.
"""

from typing import Any

from equipoise.collecting import INFLUENCE, STATES, is_own, is_predicted, score_files, store_kind
from equipoise.comparison import RANDOM, Candidate, candidate, candidates, column_source, estimated_by, groups, retrainings
from equipoise.config import Experiment
from equipoise.estimators import row_estimator
from equipoise.experiment import (
    ZERO_SHOT,
    assembled_shards,
    chooses_dimension,
    collected_shards,
    column_epochs,
    fitted,
    gradient_epochs,
    last_epoch,
    matrix_epochs,
    shards,
    step_epochs,
)
from equipoise.measures import LOSS
from equipoise.selectors import SAMPLED, SCORED, STORED, selector
from equipoise.store.kind import RUN, Kind, Names, Reference, run_of


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
        own = [("pool_states", {"epoch": str(last_epoch(config)), "shard": s}) for s in assembled_shards(config).get(of["shard"], [])]
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
    states = [("pool_states", {"epoch": str(last_epoch(config)), "shard": shard}) for shard in shards(config)]
    return [("pool", {}), ("matrix", {"matrix": SAMPLED}), *states]


def _ranking_inputs(config: Experiment, of: Names) -> list[Reference]:
    entry = selector(of["selector"])
    used = dict.fromkeys([INFLUENCE, entry.matrix or INFLUENCE])
    scored = [("pool_scores", {"column": name, "shard": shard}) for name in entry.pool if name in SCORED for shard in shards(config)]
    epochs = dict.fromkeys(epoch for name in entry.pool if name in STORED for epoch in column_epochs(config, name))
    stored = [("pool_gradients", {"epoch": str(epoch), "shard": shard}) for epoch in epochs for shard in collected_shards(config)]
    last, kind = str(last_epoch(config)), store_kind(config, "pool", entry.states) if entry.states else ""
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
        return [("pool_gradients", {"epoch": str(last_epoch(config)), "shard": shard, "place": place}) for shard in shards(config)]
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
