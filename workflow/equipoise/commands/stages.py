"""The stages of the workflow, one command per rule, under the rule's name. What is heavy is imported by the command that needs it."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.budgets import budget_label, parse_budget
from equipoise.cluster.devices import take_devices
from equipoise.collecting import INFLUENCE, is_predicted, made_of_rows
from equipoise.commands.options import (
    epochs_of,
    estimated,
    one_of,
    refuse_missing_checkpoints,
    refuse_missing_targets,
    refuse_nothing_compared,
    run_of,
    some_of,
)
from equipoise.commands.panels import STAGES
from equipoise.errors import UserError
from equipoise.estimators import ESTIMATORS, row_estimator
from equipoise.layout import shard_label
from equipoise.measures import ACCURACY, LOSS, MEASURES
from equipoise.process import continue_in, distributed, prepare_process, refuse_missing_reporters
from equipoise.selectors import MATRICES, SAMPLED, SCORED, selector_names
from equipoise.store.lease import one_writer
from equipoise.store.running import keep_record

if TYPE_CHECKING:
    from equipoise.config import Experiment

app = typer.Typer()
stage = partial(app.command, rich_help_panel=STAGES)

ConfigOption = Annotated[
    str, typer.Option("--config", help="An experiment's YAML; the workflow passes <results>/<experiment>/config.yaml.")
]
Shard = Annotated[int, typer.Option(help="Number of the shard, from 0.")]
Epochs = Annotated[str, typer.Option(help="Epochs, separated by commas; default: all.")]
Tasks = Annotated[str, typer.Option(help="Target tasks, separated by commas; default: all.")]
Matrix = Annotated[str, typer.Option(help="influence, last_token, position_weighted, or sampled (estimator mates).")]
EstimatorOption = Annotated[str, typer.Option("--estimator", help="One of validation.estimators; default: gradients.estimator.")]
Selector = Annotated[str, typer.Option(help="Name of a selector.")]
SelectionSeed = Annotated[int, typer.Option(help="Selection seed of `random`.")]
RunPath = Annotated[str, typer.Option(help="selector/selection-0/budget-0.1/epochs-2/seed-0")]


def _open(path: str, stage: str) -> "Experiment":
    """Reads the configuration; fixes threads, allocator and, on a workstation, GPUs before any library starts its own."""
    from equipoise.config_file import read_config

    config = read_config(path)
    keep_record(config.layout.experiment_root, stage)
    prepare_process(config, stage)
    take_devices(config, stage)
    return config


def _open_training(path: str, stage: str) -> "Experiment":
    config = _open(path, stage)
    refuse_missing_reporters(config)
    return config


@stage("fetch", epilog="Example:  equipoise fetch --config workflow/experiments/smollm2-135m.yaml")
def fetch_command(config: ConfigOption) -> None:
    """Brings base, pool and benchmark data from the hub into the local cache, so that every later stage runs offline."""
    from equipoise.config_file import read_config
    from equipoise.data.fetch import fetch

    fetch(read_config(config))


@stage("decontaminate", epilog="Example (after make demo):  equipoise decontaminate --config config.yaml")
def decontaminate_command(config: ConfigOption) -> None:
    """Finds pool rows that share a 13-gram with a test item, per task; needs prepare_targets."""
    from equipoise.config_file import read_config
    from equipoise.evaluation.decontaminate import decontaminate

    decontaminate(read_config(config))


@stage("prepare_pool", epilog="Example:  equipoise prepare_pool --config config.yaml")
def prepare_pool_command(config: ConfigOption) -> None:
    """Reads the pool into one Parquet file with ids and token counts, and plans its shards."""
    from equipoise.data.pool import prepare_pool

    prepare_pool(_open(config, "prepare_pool"))


@stage("prepare_targets", epilog="Example:  equipoise prepare_targets --config config.yaml --tasks gsm,math")
def prepare_targets_command(config: ConfigOption, tasks: Tasks = "") -> None:
    """Draws the validation examples of target tasks and the hold-outs of their evaluation."""
    from equipoise.data.targets import prepare_targets

    experiment = _open(config, "prepare_targets")
    prepare_targets(experiment, some_of("--tasks", tasks, experiment.tasks))


@stage("check_base", epilog="Example:  equipoise check_base --config config.yaml")
def check_base_command(config: ConfigOption) -> None:
    """Tries base, tokenizer and lm-eval tasks with all that later stages do to them; needs prepare_targets where tasks have suites."""
    experiment = _open(config, "check_base")
    with one_writer(experiment.layout.base_manifest):
        from equipoise.checking.check_base import check_base

        check_base(experiment)


@stage("score_pool", epilog="Example:  equipoise score_pool --config config.yaml --column base_loss --shard 0")
def score_pool_command(
    config: ConfigOption, shard: Shard, column: Annotated[str, typer.Option(help="base_loss, or base_loss_alone: without the prompt.")]
) -> None:
    """Computes losses of a shard's pool responses under the untuned base, for selectors that ask for them."""
    from equipoise.attribution.assemble import shard_plan
    from equipoise.gradients.score_pool import score_pool

    experiment = _open(config, "score_pool")
    one_of("--column", column, SCORED)
    shard_plan(experiment, shard)  # raises for a shard that does not exist
    with one_writer(experiment.layout.pool_scores_manifest(column, shard_label(shard))):
        score_pool(experiment, column, shard)


@stage("warm_up", epilog="Example:  equipoise warm_up --config config.yaml")
def warm_up_command(config: ConfigOption) -> None:
    """Warms up the selection model; leaves adapter and Adam moments of every epoch."""
    experiment = _open_training(config, "warm_up")
    with one_writer(experiment.layout.checkpoint_manifest(experiment.warmup.epochs)):
        from equipoise.training.warm_up import share_warmup_examples, warm_up

        again = ["warm_up", "--config", config]
        if distributed(experiment.training.processes, again, lambda: share_warmup_examples(experiment)):
            return
        warm_up(experiment)


@stage("fit_curvature", epilog="Example:  equipoise fit_curvature --config config.yaml --epochs 1")
def fit_curvature_command(config: ConfigOption, epochs: Epochs = "", by: EstimatorOption = "") -> None:
    """Fits what the estimator needs at epoch checkpoints before its rows can be made: curvature (ekfac) or kernel (trak)."""
    from equipoise.curvature.fit import fit_curvature

    experiment = estimated(_open(config, "fit_curvature"), by)
    rows = row_estimator(experiment.gradients)
    if rows is None or rows.fitted is None:
        fitting = ", ".join(entry.name for entry in ESTIMATORS if entry.fitted)
        raise UserError(f"gradients.estimator: {experiment.gradients.estimator} fits nothing first; write one of {fitting}")
    numbers = epochs_of(experiment, epochs)
    refuse_missing_checkpoints(experiment, numbers)
    with one_writer(*(experiment.layout.curvature_manifest(epoch) for epoch in numbers)):
        fit_curvature(experiment, numbers)


@stage("choose_dimension", epilog="Example:  equipoise choose_dimension --config config.yaml")
def choose_dimension_command(config: ConfigOption, by: EstimatorOption = "") -> None:
    """Finds out by a pilot how many numbers of a gradient to keep (gradients.projection.dimension: auto)."""
    from equipoise.attribution.choose_dimension import choose_dimension
    from equipoise.experiment import chooses_dimension, gradient_epochs

    experiment = estimated(_open(config, "choose_dimension"), by)
    if not chooses_dimension(experiment):
        said = experiment.gradients.projection.dimension
        raise UserError(f"gradients.projection.dimension: {said}, so there is nothing to choose; write auto")
    refuse_missing_targets(experiment, experiment.tasks)
    refuse_missing_checkpoints(experiment, gradient_epochs(experiment))
    with one_writer(experiment.layout.projection_manifest):
        choose_dimension(experiment)


@stage("collect_pool_gradients", epilog="Example:  equipoise collect_pool_gradients --config config.yaml --epochs 1 --shard 0")
def collect_pool_gradients_command(config: ConfigOption, shard: Shard, epochs: Epochs = "", by: EstimatorOption = "") -> None:
    """Collects the gradients of a shard's pool examples (Adam form) at epoch checkpoints."""
    from equipoise.attribution.assemble import shard_plan
    from equipoise.gradients.collect import collect_pool_gradients

    experiment = estimated(_open(config, "collect_pool_gradients"), by)
    numbers = epochs_of(experiment, epochs)
    shard_plan(experiment, shard, matrix=made_of_rows(experiment) or INFLUENCE)  # raises for a shard that does not exist
    refuse_missing_checkpoints(experiment, numbers)
    with one_writer(*(experiment.layout.pool_gradients_manifest(epoch, shard_label(shard)) for epoch in numbers)):
        collect_pool_gradients(experiment, numbers, shard)


@stage("collect_target_gradients", epilog="Example:  equipoise collect_target_gradients --config config.yaml --epochs 1 --tasks gsm")
def collect_target_gradients_command(config: ConfigOption, epochs: Epochs = "", tasks: Tasks = "", by: EstimatorOption = "") -> None:
    """Collects the gradients of validation examples (plain form) at epoch checkpoints."""
    from equipoise.gradients.collect import collect_target_gradients

    experiment = estimated(_open(config, "collect_target_gradients"), by)
    numbers, names = epochs_of(experiment, epochs), some_of("--tasks", tasks, experiment.tasks)
    refuse_missing_targets(experiment, names)
    refuse_missing_checkpoints(experiment, numbers)
    with one_writer(*(experiment.layout.target_gradients_manifest(epoch, name) for epoch in numbers for name in names)):
        collect_target_gradients(experiment, numbers, names)


@stage("collect_pool_states", epilog="Example:  equipoise collect_pool_states --config config.yaml --shard 0")
def collect_pool_states_command(config: ConfigOption, shard: Shard) -> None:
    """Collects states of a shard's pool examples at the last checkpoint, by forward passes alone."""
    from equipoise.attribution.assemble import shard_plan
    from equipoise.gradients.collect import collect_pool_states

    experiment = _open(config, "collect_pool_states")
    last = experiment.warmup.epochs
    shard_plan(experiment, shard)  # raises for a shard that does not exist
    refuse_missing_checkpoints(experiment, [last])
    with one_writer(experiment.layout.pool_states_manifest(last, shard_label(shard))):
        collect_pool_states(experiment, shard)


@stage("collect_target_states", epilog="Example:  equipoise collect_target_states --config config.yaml --tasks gsm")
def collect_target_states_command(config: ConfigOption, tasks: Tasks = "") -> None:
    """Collects states of validation examples at the last checkpoint, by forward passes alone."""
    from equipoise.gradients.collect import collect_target_states

    experiment = _open(config, "collect_target_states")
    last, names = experiment.warmup.epochs, some_of("--tasks", tasks, experiment.tasks)
    refuse_missing_targets(experiment, names)
    refuse_missing_checkpoints(experiment, [last])
    with one_writer(*(experiment.layout.target_states_manifest(last, name) for name in names)):
        collect_target_states(experiment, names)


@stage("assemble_attribution", epilog="Example:  equipoise assemble_attribution --config config.yaml --shard 0")
def assemble_attribution_command(config: ConfigOption, shard: Shard, matrix: Matrix = "influence", by: EstimatorOption = "") -> None:
    """Computes a shard's rows of the attribution matrix and their column moments."""
    from equipoise.attribution.assemble import assemble_attribution, shard_plan

    experiment = estimated(_open(config, "assemble_attribution"), by)
    one_of("--matrix", matrix, (*MATRICES, SAMPLED))
    shard_plan(experiment, shard, matrix=matrix)  # raises for a shard that does not exist
    with one_writer(experiment.layout.matrix_shard_manifest(matrix, shard_label(shard))):
        assemble_attribution(experiment, matrix, shard)


@stage("seal_attribution", epilog="Example:  equipoise seal_attribution --config config.yaml")
def seal_attribution_command(config: ConfigOption, matrix: Matrix = "influence", by: EstimatorOption = "") -> None:
    """Checks that all rows of the matrix are there and merges the column moments."""
    from equipoise.attribution.seal import seal_attribution

    experiment = estimated(_open(config, "seal_attribution"), by)
    seal_attribution(experiment, one_of("--matrix", matrix, (*MATRICES, SAMPLED)))


@stage("fit_influence_model", epilog="Example:  equipoise fit_influence_model --config config.yaml")
def fit_influence_model_command(config: ConfigOption, by: EstimatorOption = "") -> None:
    """Fits the model that predicts influence from states on the sampled rows' influence (estimator mates)."""
    from equipoise.attribution.influence_model import fit_influence_model

    experiment = estimated(_open(config, "fit_influence_model"), by)
    if not is_predicted(experiment):
        raise UserError("gradients: nothing is predicted; write estimator: mates and a mates.share below 1")
    with one_writer(experiment.layout.influence_model_manifest):
        fit_influence_model(experiment)


@stage("rank", epilog="Example:  equipoise rank --config config.yaml --selector bids")
def rank_command(config: ConfigOption, selector: Selector, selection_seed: SelectionSeed = 0) -> None:
    """Ranks the pool with a selector, up to selection.rank_to."""
    from equipoise.selection.rank import rank

    experiment = _open(config, "rank")
    rank(experiment, one_of("--selector", selector, selector_names()), selection_seed)


@stage("select_budget", epilog="Example:  equipoise select_budget --config config.yaml --selector bids --budget 0.1")
def select_budget_command(
    config: ConfigOption,
    selector: Selector,
    budget: Annotated[str, typer.Option(help="A share (0.1) or a count (500).")],
    selection_seed: SelectionSeed = 0,
) -> None:
    """Writes a ranking's prefix as a selection that is ready to train on."""
    from equipoise.selection.select_budget import select_budget

    experiment = _open(config, "select_budget")
    one_of("--selector", selector, selector_names())
    select_budget(experiment, selector, selection_seed, budget_label(parse_budget(budget)))


@stage("fine_tune", epilog="Example:  equipoise fine_tune --config config.yaml --run bids/selection-0/budget-0.1/epochs-4/seed-0")
def fine_tune_command(config: ConfigOption, run: RunPath) -> None:
    """Fine-tunes a fresh adapter on a selection."""
    experiment = _open_training(config, "fine_tune")
    asked = run_of(experiment, run, trained=True)
    with one_writer(experiment.layout.run_manifest(asked)):
        from equipoise.training.fine_tune import fine_tune, share_run_examples

        again = ["fine_tune", "--config", config, "--run", run]
        if distributed(experiment.training.processes, again, lambda: share_run_examples(experiment, asked)):
            return
        fine_tune(experiment, asked)


@stage(
    "evaluate",
    epilog="Example:  equipoise evaluate --config config.yaml --suite miniature --run zero_shot/selection-0/budget-1.0/epochs-0/seed-0",
)
def evaluate_command(
    config: ConfigOption,
    run: RunPath,
    suite: Annotated[str, typer.Option(help="Name of a suite.")],
    suite_seed: Annotated[int, typer.Option(help="Generation seed.")] = 0,
    measure: Annotated[str, typer.Option(help="accuracy, or loss: held-out loss, which draws nothing.")] = ACCURACY.name,
) -> None:
    """Evaluates a run on a suite: with lm-eval (in the suite's own interpreter where it names one), or by held-out loss."""
    experiment = _open(config, "evaluate")
    asked = run_of(experiment, run, trained=False)
    one_of("--suite", suite, experiment.suites)
    one_of("--measure", measure, (each.name for each in MEASURES))
    if measure != LOSS.name:
        again = ["evaluate", "--config", config, "--run", run, "--suite", suite, "--suite-seed", str(suite_seed)]
        continue_in(experiment.suites[suite].python, again)
    from equipoise.evaluation.evaluate import evaluate

    evaluate(experiment, asked, suite, suite_seed if measure == ACCURACY.name else measure)


@stage("fine_tune_and_evaluate", epilog="Example:  equipoise fine_tune_and_evaluate --config config.yaml --selector bids")
def fine_tune_and_evaluate_command(config: ConfigOption, selector: Selector, selection_seed: SelectionSeed = 0) -> None:
    """Makes all runs on a selector's selections in one process (jobs.runs: together); finished ones are kept."""
    from equipoise.evaluation.fine_tune_and_evaluate import fine_tune_and_evaluate
    from equipoise.experiment import folds

    experiment = _open_training(config, "fine_tune_and_evaluate")
    one_of("--selector", selector, dict.fromkeys(name for name, _ in folds(experiment)))
    one_of("--selection-seed", str(selection_seed), (str(seed) for name, seed in folds(experiment) if name == selector))
    for run in folds(experiment)[selector, selection_seed]:
        run_of(experiment, run.path, trained=run.trained)  # raises for a selection that does not exist
    with one_writer(experiment.layout.fold_manifest(selector, selection_seed)):
        fine_tune_and_evaluate(experiment, selector, selection_seed)


@stage("measure_one_step", epilog="Example:  equipoise measure_one_step --config config.yaml --epochs 1")
def measure_one_step_command(config: ConfigOption, epochs: Epochs = "") -> None:
    """Takes single optimizer steps, each on one pool row, and measures the losses of all validation examples after it."""
    experiment = _open(config, "measure_one_step")
    numbers = epochs_of(experiment, epochs)
    refuse_missing_targets(experiment, experiment.tasks)
    refuse_missing_checkpoints(experiment, numbers)
    with one_writer(*(experiment.layout.one_step_manifest(epoch) for epoch in numbers)):
        from equipoise.validation.measure_one_step import measure_one_step

        measure_one_step(experiment, numbers)


@stage("retrain", epilog="Example:  equipoise retrain --config config.yaml --group subsets-seed-0")
def retrain_command(
    config: ConfigOption,
    group: Annotated[str, typer.Option(help="Group of retrainings, as subsets-seed-0 or rows-less.")],
    training: Annotated[str, typer.Option(help="One retraining of the group, as subset-000; default: all.")] = "",
) -> None:
    """Fine-tunes on some rows and measures the losses of all validation examples, for the comparison of estimators."""
    from equipoise.comparison import groups

    experiment = _open_training(config, "retrain")
    one_of("--group", group, groups(experiment))
    names = some_of("--training", training, (each.name for each in groups(experiment)[group]))
    refuse_missing_targets(experiment, experiment.tasks)
    with one_writer(*(experiment.layout.retraining(group, name) for name in names)):
        again = ["retrain", "--config", config, "--group", group, *(["--training", training] if training else [])]
        from equipoise.validation.retrain import remove_pool_examples, retrain, share_pool_examples

        if distributed(experiment.training.processes, again, lambda: share_pool_examples(experiment, group, names)):
            remove_pool_examples(experiment, group, names)
            return
        retrain(experiment, group, names)


@stage("validate_influence", epilog="Example (after make demo):  equipoise validate_influence --config config.yaml")
def validate_influence_command(config: ConfigOption) -> None:
    """Compares validation.estimators with each other and with baselines, by single steps and retrainings; makes those that are missing."""
    experiment = _open_training(config, "validate_influence")
    refuse_nothing_compared(experiment)
    refuse_missing_targets(experiment, experiment.tasks)
    with one_writer(experiment.layout.validation):
        from equipoise.validation.validate_influence import validate_influence

        typer.echo(validate_influence(experiment))


@stage("report", epilog="Example:  equipoise report --config config.yaml")
def report_command(
    config: ConfigOption,
    partial: Annotated[bool, typer.Option("--partial", help="Now, of finished runs alone, without verdicts: report-partial/.")] = False,
) -> None:
    """Writes scores, tables, figures and the page."""
    from equipoise.reporting.report import partial_report, report

    (partial_report if partial else report)(_open(config, "report_partial" if partial else "report"))
