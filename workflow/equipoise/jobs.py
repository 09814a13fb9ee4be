"""How an experiment is cut into jobs: every stage's jobs, with the outputs of each.

The one account of it, from the configuration alone: the Snakefile declares these jobs, and `plan`, `status` and `attribute` read them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.collecting import collects_states, is_predicted, needs_warm_up, scored_columns
from equipoise.comparison import compared, groups
from equipoise.config import Experiment
from equipoise.experiment import (
    assembled_shards,
    chooses_dimension,
    collected_shards,
    evaluations,
    experiment_runs,
    folds,
    gradient_epochs,
    last_epoch,
    matrices,
    miniature_files,
    needs_hub,
    shards,
    step_epochs,
    trained_runs,
    warm_ups,
    what_is_fitted,
)
from equipoise.layout import Epoch


@dataclass(frozen=True)
class Item:
    """A piece of a job with outputs of its own: done once they all exist.

    kind: the stage that alone would make it. key: what it is for, in the order that `stages` lists (epoch, shard; run; ...). estimator:
    whose it is, where that is not the experiment's own.
    """

    kind: str
    key: tuple[Any, ...]
    outputs: tuple[str, ...]
    estimator: str = ""

    @property
    def done(self) -> bool:
        """Whether every output exists."""
        return all(Path(output).exists() for output in self.outputs)


@dataclass(frozen=True)
class Stage:
    """A rule of the workflow with its jobs, each a list of items."""

    name: str
    jobs: list[list[Item]]

    @property
    def outputs(self) -> list[str]:
        """Every output of every job."""
        return [output for job in self.jobs for item in job for output in item.outputs]


def stages(config: Experiment) -> list[Stage]:
    """Every rule that this experiment runs, in the pipeline's order, with its jobs. Keys of items, by kind:

    prepare_targets (task), score_pool (column, shard), warm_up (epoch), fit_curvature (epoch), collect_pool_gradients (epoch, shard),
    collect_target_gradients (epoch, task), collect_pool_states (epoch, shard), collect_target_states (epoch, task),
    assemble_attribution (matrix, first shard), seal_attribution (matrix), rank (selector,
    selection seed), select_budget (selector, selection seed, budget), fine_tune (run), evaluate (run, suite, generation seed), fold
    (selector, selection seed), measure_one_step (epoch), retrain (retraining), retrain_group (group); else ().
    """
    layout = config.layout
    single = {
        "generate_miniature": tuple(miniature_files(config)),
        "fetch": (layout.fetch_manifest,) if needs_hub(config) else (),
        "prepare_pool": (layout.pool, layout.pool_manifest),
        "check_base": (layout.base_manifest,),
        "decontaminate": (layout.contamination,) if config.pool.decontaminate != "skip" else (),
        "validate_influence": (layout.validation,) if config.validation.estimators else (),
        "report": (f"{layout.report}/index.html", f"{layout.report}/scores.csv") if evaluations(config) else (),
    }
    targets = [[Item("prepare_targets", (task,), (layout.target(task), layout.target_manifest(task)))] for task in config.tasks]
    scores = [
        [Item("score_pool", (column, shard), (layout.pool_scores_manifest(column, shard),))]
        for column in scored_columns(config)
        for shard in shards(config)
    ]
    checkpoints = [
        [Item("warm_up", (epoch,), (layout.checkpoint_manifest(epoch),)) for epoch in each] for each in warm_ups(config).values()
    ]
    only = {name: [Stage(name, [[Item(name, (), outputs)]])] if outputs else [] for name, outputs in single.items()}
    return [
        *only["generate_miniature"],
        *only["fetch"],
        Stage("prepare_targets", _together(targets, config.jobs.tasks)),
        *only["decontaminate"],
        *only["prepare_pool"],
        *only["check_base"],
        *([Stage("score_pool", scores)] if scores else []),
        *([Stage("warm_up", checkpoints)] if needs_warm_up(config) else []),
        *_collection(config),
        *_attribution(config),
        *_selection(config),
        *_trials(config),
        *only["validate_influence"],
        *_runs(config),
        *only["report"],
    ]


def per_epoch(config: Experiment, pattern: str | list[str]) -> str | list[str]:
    """A path pattern of gradient jobs: with {epoch} left in it (a job per epoch) or for every epoch (one job), by `jobs.epochs`."""
    return _filled(pattern, "{epoch}", gradient_epochs(config)) if config.jobs.epochs == "together" else pattern


def per_task(config: Experiment, pattern: str | list[str]) -> str | list[str]:
    """A path pattern of target jobs: with {task} left in it (a job per task) or for every task (one job), by `jobs.tasks`."""
    return _filled(pattern, "{task}", config.tasks) if config.jobs.tasks == "together" else pattern


def _filled(pattern: str | list[str], name: str, values: Iterable[object]) -> list[str]:
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return [each.replace(name, str(value)) for each in patterns for value in values]


def _together(jobs: list[list[Item]], how: str) -> list[list[Item]]:
    """The jobs as they are, or all in one."""
    return [[item for job in jobs for item in job]] if how == "together" else jobs


def _collection(config: Experiment) -> list[Stage]:
    """The gradients of every estimator that is compared; curvature before them where one needs it then, else between them."""
    fits = [fit for fit in map(what_is_fitted, compared(config)) if fit]
    names = ["choose_dimension", "collect_pool_gradients", "collect_target_gradients"]
    names.insert(0 if any(not fit.from_rows for fit in fits) else 2, "fit_curvature")
    jobs: dict[str, list[list[Item]]] = _states(config)
    for name in names:
        made = [job for each in compared(config) for job in _collected(each).get(name, [])]
        jobs |= {name: made} if made else {}
    return [Stage(name, made) for name, made in jobs.items()]


def _collected(config: Experiment) -> dict[str, list[list[Item]]]:
    """Jobs of one estimator's gradients by stage."""
    layout, own = config.layout, config.gradients.estimator if config.gradients.place else ""

    def pool(epoch: Epoch, shard: str) -> Item:
        return Item("collect_pool_gradients", (epoch, shard), (layout.pool_gradients_manifest(epoch, shard),), own)

    def target(epoch: Epoch, task: str) -> Item:
        return Item("collect_target_gradients", (epoch, task), (layout.target_gradients_manifest(epoch, task),), own)

    chosen = gradient_epochs(config)
    if not chosen:
        return {}
    groups = _together([[task] for task in config.tasks], config.jobs.tasks)
    jobs = {
        "collect_pool_gradients": [
            job for s in collected_shards(config) for job in _together([[pool(e, s)] for e in chosen], config.jobs.epochs)
        ],
        "collect_target_gradients": [
            job for tasks in groups for job in _together([[target(e, t) for t in tasks] for e in chosen], config.jobs.epochs)
        ],
    }
    if chooses_dimension(config):
        jobs["choose_dimension"] = [[Item("choose_dimension", (), (layout.projection_manifest,), own)]]
    if what_is_fitted(config):
        jobs["fit_curvature"] = [[Item("fit_curvature", (e,), (layout.curvature_manifest(e),), own)] for e in chosen]
    return jobs


def _states(config: Experiment) -> dict[str, list[list[Item]]]:
    """Forward passes that collect states alone, where no store of gradients holds them; the same for all estimators."""
    layout, last = config.layout, last_epoch(config)
    parts = {
        "pool": [((last, shard), layout.pool_states_manifest(last, shard)) for shard in shards(config)],
        "target": [((last, task), layout.target_states_manifest(last, task)) for task in config.tasks],
    }
    return {
        f"collect_{side}_states": [[Item(f"collect_{side}_states", key, (path,))] for key, path in parts[side]]
        for side in parts
        if any(collects_states(each, side) for each in compared(config))
    }


def _attribution(config: Experiment) -> list[Stage]:
    assembled, models, sealed = [], [], []
    for each in compared(config):
        layout, own = each.layout, each.gradients.estimator if each.gradients.place else ""
        for matrix in matrices(each):
            assembled += [
                [Item("assemble_attribution", (matrix, shard), (layout.matrix_shard_manifest(matrix, shard),), own)]
                for shard in assembled_shards(each, matrix)
            ]
            sealed.append([Item("seal_attribution", (matrix,), (layout.matrix_manifest(matrix),), own)])
        if is_predicted(each):
            models.append([Item("fit_influence_model", (), (layout.influence_model, layout.influence_model_manifest), own)])
    fitted = [Stage("fit_influence_model", models)] if models else []
    return [Stage("assemble_attribution", assembled), *fitted, Stage("seal_attribution", sealed)]


def _trials(config: Experiment) -> list[Stage]:
    """What estimators are compared by: single optimizer steps, and fine-tunings by themselves or in groups."""
    layout = config.layout
    if not config.validation.estimators:
        return []
    steps = [[Item("measure_one_step", (e,), (layout.one_step_manifest(e),))] for e in step_epochs(config)]
    jobs = []
    for group, members in groups(config).items():
        items = [Item("retrain", (each,), (layout.retraining(group, each.name),)) for each in members]
        together = [[*items, Item("retrain_group", (group,), (layout.retraining_group(group),))]]
        jobs += [[item] for item in items] if config.jobs.runs == "separate" else together
    return [Stage("measure_one_step", steps if config.validation.one_step.rows else []), Stage("retrain", jobs)]


def _selection(config: Experiment) -> list[Stage]:
    runs = trained_runs(config)
    rankings = dict.fromkeys((run.selector, run.selection_seed) for run in runs)
    picks = dict.fromkeys((run.selector, run.selection_seed, run.budget) for run in runs)
    layout = config.layout
    ranked = [Item("rank", ranking, (layout.ranking(*ranking), layout.ranking_manifest(*ranking))) for ranking in rankings]
    picked = [Item("select_budget", pick, (layout.selection(*pick), layout.selection_manifest(*pick))) for pick in picks]
    return [Stage("rank", [[item] for item in ranked]), Stage("select_budget", [[item] for item in picked])]


def _runs(config: Experiment) -> list[Stage]:
    """fine_tune and evaluate, or one job per fold for both; nothing where no task is evaluated."""
    layout = config.layout
    if not evaluations(config):
        return []
    tuned = {run: Item("fine_tune", (run,), (layout.run_manifest(run),)) for run in trained_runs(config)}
    scored = {
        run: [Item("evaluate", (run, *e), (layout.scores(run, *e), layout.samples(run, *e))) for e in evaluations(config)]
        for run in experiment_runs(config)
    }
    if config.jobs.runs == "separate":
        evaluated = [[item] for items in scored.values() for item in items]
        return [Stage("fine_tune", [[item] for item in tuned.values()]), Stage("evaluate", evaluated)]
    jobs = []
    for fold, runs in folds(config).items():
        items = [item for run in runs for item in ([tuned[run]] if run in tuned else []) + scored[run]]
        jobs.append([*items, Item("fold", fold, (layout.fold_manifest(*fold),))])
    return [Stage("fine_tune_and_evaluate", jobs)]
