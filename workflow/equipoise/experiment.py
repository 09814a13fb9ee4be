"""What an experiment consists of: its warm-ups, epochs, shards, matrices, runs and evaluations, from the configuration alone.

How it is cut into jobs stands in `jobs.py`.
"""

from collections.abc import Iterable
from pathlib import Path

from equipoise.benchmarks import BENCHMARKS
from equipoise.budgets import budget_label
from equipoise.collecting import INFLUENCE, is_predicted, made_of_rows, row_shards
from equipoise.config import Experiment, Suite
from equipoise.estimators import Fitted, row_estimator
from equipoise.layout import Epoch, Run, epoch_label, shard_label
from equipoise.measures import ACCURACY, LOSS, MEASURES, Measure, measures_of
from equipoise.selectors import LOSSES, MATRICES, SAMPLED, selector
from equipoise.shipped import MINIATURE, base_path

FULL_BUDGET = "1.0"
ZERO_SHOT = "zero_shot"


def warm_ups(config: Experiment) -> dict[int, list[Epoch]]:
    """The epoch checkpoints of every warm-up, in order, by its seed (`warmup.seeds`)."""
    return {seed: [epoch_label(epoch, seed) for epoch in range(1, config.warmup.epochs + 1)] for seed in config.warmup.seeds}


def epochs(config: Experiment) -> list[Epoch]:
    """The epoch checkpoints of all warm-ups, one warm-up after the other."""
    return [epoch for each in warm_ups(config).values() for epoch in each]


def first_epochs(config: Experiment) -> list[Epoch]:
    """The epoch checkpoints of the first warm-up: what follows one training reads these alone (states, trajectories of losses)."""
    return warm_ups(config)[config.warmup.seeds[0]]


def last_epochs(config: Experiment) -> list[Epoch]:
    """The last checkpoint of every warm-up; stores of gradients hold states beside them there, so that any may come first."""
    return [each[-1] for each in warm_ups(config).values()]


def last_epoch(config: Experiment) -> Epoch:
    """The first warm-up's last checkpoint, whose states are read."""
    return last_epochs(config)[0]


def gradient_epochs(config: Experiment) -> list[Epoch]:
    """Checkpoints at which gradients are collected: of every warm-up all, or the last one (`gradients.epochs`); none where no rows are."""
    return step_epochs(config) if row_estimator(config.gradients) else []


def step_epochs(config: Experiment) -> list[Epoch]:
    """Checkpoints from which single optimizer steps are taken: those that influence is of, whatever the estimator."""
    return epochs(config) if config.gradients.epochs == "all" else last_epochs(config)


def column_epochs(config: Experiment, column: str) -> list[Epoch]:
    """Checkpoints whose stores a selector's column (`selectors.STORED`) is read from: losses follow the first warm-up, norms are of all."""
    return [epoch for epoch in gradient_epochs(config) if column != LOSSES or epoch in first_epochs(config)]


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


def matrix_epochs(config: Experiment, matrix: str) -> list[Epoch]:
    """Checkpoints whose gradient stores enter a matrix: all for influence, the first warm-up's last one's states for the others."""
    return gradient_epochs(config) if matrix == made_of_rows(config) else [last_epoch(config)]


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


def what_is_fitted(config: Experiment) -> Fitted | None:
    """What the estimator fits before its rows can be made; nothing where it fits nothing."""
    rows = row_estimator(config.gradients)
    return rows.fitted if rows else None


def fitted(config: Experiment, side: str, epoch: Epoch = "{epoch}") -> list[str]:
    """Manifests of what the estimator fits that a side (pool, target, matrix) is made with, at an epoch: one, or none."""
    fit = what_is_fitted(config)
    return [config.layout.curvature_manifest(epoch)] if fit and side in fit.sides else []


def fitting_gpus(config: Experiment) -> int:
    """GPUs of one fit: a collection's where it runs examples through the model, none where it reads rows."""
    fit = what_is_fitted(config)
    return config.jobs.gpus if fit and not fit.from_rows else 0


def fitted_from(config: Experiment, epoch: Epoch = "{epoch}") -> list[str]:
    """Manifests of what the estimator's fit at an epoch is made from, beside the checkpoint."""
    fit = what_is_fitted(config)
    if not fit:
        return []
    rows = [config.layout.pool_gradients_manifest(epoch, shard) for shard in collected_shards(config)] if fit.from_rows else []
    return [config.layout.pool_manifest, *rows]
