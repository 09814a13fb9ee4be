"""What an experiment consists of: its epochs, shards, matrices, runs and evaluations, and every stage's jobs with their outputs.

The one account of it, from the configuration alone: the Snakefile declares these jobs, and `plan`, `status` and `attribute` read them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.benchmarks import BENCHMARKS
from equipoise.budgets import budget_label
from equipoise.collecting import INFLUENCE, collects_states, is_predicted, made_of_rows, needs_warm_up, row_shards, scored_columns
from equipoise.comparison import compared, groups
from equipoise.config import Experiment, Suite
from equipoise.estimators import Fitted, row_estimator
from equipoise.layout import Run, shard_label
from equipoise.measures import ACCURACY, LOSS, MEASURES, Measure, measures_of
from equipoise.selectors import MATRICES, SAMPLED, selector
from equipoise.shipped import MINIATURE, base_path

FULL_BUDGET = "1.0"
ZERO_SHOT = "zero_shot"


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


# what there is
def epochs(config: Experiment) -> list[int]:
    """Warm-up epochs, from 1."""
    return list(range(1, config.warmup.epochs + 1))


def gradient_epochs(config: Experiment) -> list[int]:
    """Epochs at which gradients are collected: all, or the last one alone (`gradients.epochs`); none where no rows are."""
    if row_estimator(config.gradients) is None:
        return []
    return epochs(config) if config.gradients.epochs == "all" else epochs(config)[-1:]


def step_epochs(config: Experiment) -> list[int]:
    """Epochs from which single optimizer steps are taken, whatever the estimator."""
    return epochs(config) if config.gradients.epochs == "all" else epochs(config)[-1:]


def tells_reliability(config: Experiment, matrix: str) -> bool:
    """Whether projection noise is in a matrix and can be told from the halves of its rows."""
    rows = row_estimator(config.gradients)
    return matrix == made_of_rows(config) and config.gradients.projection.kind != "identity" and rows is not None and rows.halves


def chooses_dimension(config: Experiment) -> bool:
    """Whether the width of the projection is found out by a pilot."""
    rows = row_estimator(config.gradients)
    return config.gradients.projection.dimension == "auto" and rows is not None and "projection" in rows.reads["pool"]


def chosen_dimension(config: Experiment) -> list[str]:
    """Manifest of the width that is found out: one, or none."""
    return [config.layout.projection_manifest] if chooses_dimension(config) else []


def shards(config: Experiment) -> list[str]:
    """Labels of the pool's shards."""
    return [shard_label(shard) for shard in range(config.pool.shards)]


def collected_shards(config: Experiment) -> list[str]:
    """Labels of the shards of the rows whose gradients are collected: the pool's, or the sampled rows'."""
    return [shard_label(shard) for shard in range(row_shards(config))]


def assembled_shards(config: Experiment, matrix: str = INFLUENCE) -> dict[str, list[str]]:
    """The shards whose matrix rows one job assembles, by the label of the first."""
    labels, size = collected_shards(config) if matrix == SAMPLED else shards(config), config.jobs.assembly
    return {labels[first]: labels[first : first + size] for first in range(0, len(labels), size)}


def matrices(config: Experiment) -> list[str]:
    """Matrices that the selectors rank on; the attribution matrix always: its valid rows are those that may be chosen."""
    used = {INFLUENCE} if config.gradients.place else {selector(name).matrix for name in config.selectors} | {INFLUENCE}
    if config.validation.estimators and not config.gradients.place:  # RDS and RDS+ are among what estimators are compared with
        used = set(MATRICES)
    return [*([SAMPLED] if is_predicted(config) else []), *(matrix for matrix in MATRICES if matrix in used)]


def matrix_epochs(config: Experiment, matrix: str) -> list[int]:
    """Epochs whose gradient stores enter a matrix: all for influence, the last one's states for the others."""
    return gradient_epochs(config) if matrix == made_of_rows(config) else epochs(config)[-1:]


def selection_seeds(config: Experiment, name: str) -> list[int]:
    """Selection seeds of a selector: `selection.seeds` for a seeded one, a single 0 for the others."""
    return list(config.selection.seeds) if selector(name).seeded else [0]


def experiment_runs(config: Experiment) -> list[Run]:
    """Every run of the experiment once, in table order: zero-shot, then selector by selector, then the extra ones."""
    runs = [Run(ZERO_SHOT, 0, FULL_BUDGET, 0, 0)] if config.finetune.zero_shot else []
    for name in config.selectors:
        budgets = map(budget_label, config.budgets) if selector(name).swept else [FULL_BUDGET]
        kinds = [(budget, epochs) for epochs in run_epochs(config, name) for budget in budgets]
        runs += [run for budget, epochs in kinds for run in _seeded(config, name, budget, epochs)]
    for extra in config.finetune.extra:
        runs += _seeded(config, extra.selector, budget_label(extra.budget), extra.epochs)
    return list(dict.fromkeys(runs))


def run_epochs(config: Experiment, name: str) -> list[int]:
    """Epochs of a selector's runs, but for the extra ones; 0 where nothing is trained."""
    if not selector(name).trains:
        return [0]
    asked = getattr(config.finetune, selector(name).epochs)
    return asked if isinstance(asked, list) else [asked]


def _seeded(config: Experiment, name: str, budget: str, epochs: int) -> list[Run]:
    return [Run(name, s, budget, epochs, seed) for s in selection_seeds(config, name) for seed in config.finetune.seeds]


def trained_runs(config: Experiment) -> list[Run]:
    """The runs that fine-tune an adapter."""
    return [run for run in experiment_runs(config) if run.trained]


def first_runs(config: Experiment) -> list[Run]:
    """The runs that a first look waits for: the untouched base, and the first two selectors by one selection seed each."""
    return [run for run in experiment_runs(config) if run.selector in (ZERO_SHOT, *config.selectors[:2]) and not run.selection_seed]


def folds(config: Experiment) -> dict[tuple[str, int], list[Run]]:
    """Runs by (selector, selection seed), `zero_shot` included, in table order: what one job makes under `jobs.runs: together`."""
    grouped: dict[tuple[str, int], list[Run]] = {}
    for run in experiment_runs(config):
        grouped.setdefault((run.selector, run.selection_seed), []).append(run)
    return grouped


def evaluations(config: Experiment) -> list[tuple[str, int | str]]:
    """Every (suite, part) that a run is evaluated with, of the suites that some task names: generation seeds, and `loss`."""
    used = dict.fromkeys(task.suite for task in config.tasks.values() if task.suite)
    return [(suite, part) for suite in used for part in suite_parts(config.suites[suite])]


def suite_parts(suite: Suite, *measures: Measure) -> list[int | str]:
    """The parts of a suite's evaluation, of some measures (none: of all that it takes)."""
    parts: dict[Measure, list[int | str]] = {ACCURACY: list(suite.seeds), LOSS: [LOSS.name]}
    return [part for measure in measures_of(suite.measure) if measure in (measures or MEASURES) for part in parts[measure]]


def measured(config: Experiment) -> list[Measure]:
    """The measures that some task is evaluated by."""
    used = [config.suites[task.suite].measure for task in config.tasks.values() if task.suite]
    return [measure for measure in MEASURES if any(measure in measures_of(each) for each in used)]


def measured_tasks(config: Experiment, measure: Measure) -> list[str]:
    """The tasks that are evaluated by a measure, in config order."""
    return [name for name, task in config.tasks.items() if task.suite and measure in measures_of(config.suites[task.suite].measure)]


def selections(config: Experiment, runs: Iterable[Run] | None = None) -> list[str]:
    """Paths of the selections that `runs` (none: all of the experiment) train on, each once."""
    runs = trained_runs(config) if runs is None else [run for run in runs if run.trained]
    return list(dict.fromkeys(config.layout.selection(run.selector, run.selection_seed, run.budget) for run in runs))


def score_files(config: Experiment, runs: Iterable[Run] | None = None) -> list[str]:
    """Paths of the score files of runs (none: of all)."""
    runs = experiment_runs(config) if runs is None else runs
    return [config.layout.scores(run, *evaluation) for run in runs for evaluation in evaluations(config)]


def base_files(config: Experiment) -> list[str]:
    """Files that are here and tell of the base: its configuration, where it is a folder of the user's, and a chat template of one's own."""
    base = [] if config.model.base == MINIATURE else [str(Path(config.model.base) / "config.json")]
    own = [*base, *([config.model.template_file] if config.model.template_file else [])]
    return [path for path in own if Path(path).is_file()]


def needs_hub(config: Experiment) -> bool:
    """Whether the experiment names anything by hub id: its base, its pool or a benchmark."""
    sources = [BENCHMARKS[task.benchmark] for task in config.tasks.values()]
    benchmarks = any(source.tasks or source.any_task for source in sources)
    return bool(config.pool.dataset) or benchmarks or not (base_path(config.model.base) / "config.json").exists()


def miniature_files(config: Experiment) -> list[str]:
    """Data of the embedded experiment that other rules read: its pool and the validation examples of its tasks."""
    return [*config.pool.files, *(file for task in config.tasks.values() for file in task.files)] if config.miniature else []


# how it is cut into jobs
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
    checkpoints = [Item("warm_up", (epoch,), (layout.checkpoint_manifest(epoch),)) for epoch in epochs(config)]
    only = {name: [Stage(name, [[Item(name, (), outputs)]])] if outputs else [] for name, outputs in single.items()}
    return [
        *only["generate_miniature"],
        *only["fetch"],
        Stage("prepare_targets", _together(targets, config.jobs.tasks)),
        *only["decontaminate"],
        *only["prepare_pool"],
        *only["check_base"],
        *([Stage("score_pool", scores)] if scores else []),
        *([Stage("warm_up", [checkpoints])] if needs_warm_up(config) else []),
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


def _fit(config: Experiment) -> Fitted | None:
    rows = row_estimator(config.gradients)
    return rows.fitted if rows else None


def fitted(config: Experiment, side: str, epoch: int | str = "{epoch}") -> list[str]:
    """Manifests of what the estimator fits that a side (pool, target, matrix) is made with, at an epoch: one, or none."""
    fit = _fit(config)
    return [config.layout.curvature_manifest(epoch)] if fit and side in fit.sides else []


def fitting_gpus(config: Experiment) -> int:
    """GPUs of one fit: a collection's where it runs examples through the model, none where it reads rows."""
    fit = _fit(config)
    return config.jobs.gpus if fit and not fit.from_rows else 0


def fitted_from(config: Experiment, epoch: int | str = "{epoch}") -> list[str]:
    """Manifests of what the estimator's fit at an epoch is made from, beside the checkpoint."""
    fit = _fit(config)
    if not fit:
        return []
    rows = [config.layout.pool_gradients_manifest(epoch, shard) for shard in collected_shards(config)] if fit.from_rows else []
    return [config.layout.pool_manifest, *rows]


def _collection(config: Experiment) -> list[Stage]:
    """The gradients of every estimator that is compared; curvature before them where one needs it then, else between them."""
    fits = [fit for fit in map(_fit, compared(config)) if fit]
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

    def pool(epoch: int, shard: str) -> Item:
        return Item("collect_pool_gradients", (epoch, shard), (layout.pool_gradients_manifest(epoch, shard),), own)

    def target(epoch: int, task: str) -> Item:
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
    if _fit(config):
        jobs["fit_curvature"] = [[Item("fit_curvature", (e,), (layout.curvature_manifest(e),), own)] for e in chosen]
    return jobs


def _states(config: Experiment) -> dict[str, list[list[Item]]]:
    """Forward passes that collect states alone, where no store of gradients holds them; the same for all estimators."""
    layout, last = config.layout, config.warmup.epochs
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
