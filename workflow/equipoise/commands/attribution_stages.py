"""The stages from the data to the attribution matrix, one command per rule, under the rule's name.

What is heavy is imported by the command that needs it.
"""

from functools import partial
from typing import Annotated

import typer

from equipoise.collecting import INFLUENCE, is_predicted, made_of_rows
from equipoise.commands.options import epochs_of, estimated, one_of, refuse_missing_checkpoints, refuse_missing_targets, some_of
from equipoise.commands.panels import STAGES, Json, print_json
from equipoise.commands.stage import ConfigOption, Epochs, EstimatorOption, Matrix, Shard, Tasks, open_for, open_for_training
from equipoise.errors import UserError
from equipoise.estimators import ESTIMATORS, row_estimator
from equipoise.experiment import last_epoch, warm_ups
from equipoise.layout import shard_label
from equipoise.process import distributed
from equipoise.selectors import MATRICES, SAMPLED, SCORED
from equipoise.store.lease import one_writer

app = typer.Typer()
stage = partial(app.command, rich_help_panel=STAGES)


@stage("fetch", epilog="Example:  equipoise fetch --config workflow/experiments/smollm2-135m.yaml")
def fetch_command(config: ConfigOption) -> None:
    """Brings base, pool and benchmark data from the hub into the local cache, so that every later stage runs offline."""
    from equipoise.config_file import read_config
    from equipoise.data.fetch import fetch

    fetch(read_config(config))


@stage("decontaminate", epilog="Example (after make demo):  equipoise decontaminate --config config.yaml")
def decontaminate_command(config: ConfigOption, json: Json = False) -> None:
    """Finds pool rows that share a 13-gram with a test item, per task; needs prepare_targets."""
    from equipoise.config_file import read_config
    from equipoise.evaluation.decontaminate import decontaminate

    found = decontaminate(read_config(config))
    if json:
        print_json(found)


@stage("prepare_pool", epilog="Example:  equipoise prepare_pool --config config.yaml")
def prepare_pool_command(config: ConfigOption) -> None:
    """Reads the pool into one Parquet file with ids and token counts, and plans its shards."""
    from equipoise.data.pool import prepare_pool

    prepare_pool(open_for(config, "prepare_pool"))


@stage("prepare_targets", epilog="Example:  equipoise prepare_targets --config config.yaml --tasks gsm,math")
def prepare_targets_command(config: ConfigOption, tasks: Tasks = "") -> None:
    """Draws the validation examples of target tasks and the hold-outs of their evaluation."""
    from equipoise.data.targets import prepare_targets

    experiment = open_for(config, "prepare_targets")
    prepare_targets(experiment, some_of("--tasks", tasks, experiment.tasks))


@stage("check_base", epilog="Example:  equipoise check_base --config config.yaml")
def check_base_command(config: ConfigOption) -> None:
    """Tries base, tokenizer and lm-eval tasks with all that later stages do to them; needs prepare_targets where tasks have suites."""
    experiment = open_for(config, "check_base")
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

    experiment = open_for(config, "score_pool")
    one_of("--column", column, SCORED)
    shard_plan(experiment, shard)  # raises for a shard that does not exist
    with one_writer(experiment.layout.pool_scores_manifest(column, shard_label(shard))):
        score_pool(experiment, column, shard)


@stage("warm_up", epilog="Example:  equipoise warm_up --config config.yaml")
def warm_up_command(
    config: ConfigOption, seed: Annotated[str, typer.Option(help="Seed of one warm-up, of warmup.seeds; default: all.")] = ""
) -> None:
    """Warms up the selection model; leaves adapter and Adam moments of every epoch."""
    experiment = open_for_training(config, "warm_up")
    known = warm_ups(experiment)
    for each in some_of("--seed", seed, map(str, known)):
        with one_writer(experiment.layout.checkpoint_manifest(known[int(each)][-1])):
            from equipoise.training.warm_up import share_warmup_examples, warm_up

            again = ["warm_up", "--config", config, "--seed", each]
            if not distributed(experiment.training.processes, again, partial(share_warmup_examples, experiment, int(each))):
                warm_up(experiment, int(each))


@stage("fit_curvature", epilog="Example:  equipoise fit_curvature --config config.yaml --epochs 1")
def fit_curvature_command(config: ConfigOption, epochs: Epochs = "", by: EstimatorOption = "") -> None:
    """Fits what the estimator needs at epoch checkpoints before its rows can be made: curvature (ekfac) or kernel (trak)."""
    from equipoise.curvature.fit import fit_curvature

    experiment = estimated(open_for(config, "fit_curvature"), by)
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

    experiment = estimated(open_for(config, "choose_dimension"), by)
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

    experiment = estimated(open_for(config, "collect_pool_gradients"), by)
    numbers = epochs_of(experiment, epochs)
    shard_plan(experiment, shard, matrix=made_of_rows(experiment) or INFLUENCE)  # raises for a shard that does not exist
    refuse_missing_checkpoints(experiment, numbers)
    with one_writer(*(experiment.layout.pool_gradients_manifest(epoch, shard_label(shard)) for epoch in numbers)):
        collect_pool_gradients(experiment, numbers, shard)


@stage("collect_target_gradients", epilog="Example:  equipoise collect_target_gradients --config config.yaml --epochs 1 --tasks gsm")
def collect_target_gradients_command(config: ConfigOption, epochs: Epochs = "", tasks: Tasks = "", by: EstimatorOption = "") -> None:
    """Collects the gradients of validation examples (plain form) at epoch checkpoints."""
    from equipoise.gradients.collect import collect_target_gradients

    experiment = estimated(open_for(config, "collect_target_gradients"), by)
    numbers, names = epochs_of(experiment, epochs), some_of("--tasks", tasks, experiment.tasks)
    refuse_missing_targets(experiment, names)
    refuse_missing_checkpoints(experiment, numbers)
    with one_writer(*(experiment.layout.target_gradients_manifest(epoch, name) for epoch in numbers for name in names)):
        collect_target_gradients(experiment, numbers, names)


@stage("collect_pool_states", epilog="Example:  equipoise collect_pool_states --config config.yaml --shard 0")
def collect_pool_states_command(config: ConfigOption, shard: Shard) -> None:
    """Collects states of a shard's pool examples at the first warm-up's last checkpoint, by forward passes alone."""
    from equipoise.attribution.assemble import shard_plan
    from equipoise.gradients.collect import collect_pool_states

    experiment = open_for(config, "collect_pool_states")
    last = last_epoch(experiment)
    shard_plan(experiment, shard)  # raises for a shard that does not exist
    refuse_missing_checkpoints(experiment, [last])
    with one_writer(experiment.layout.pool_states_manifest(last, shard_label(shard))):
        collect_pool_states(experiment, shard)


@stage("collect_target_states", epilog="Example:  equipoise collect_target_states --config config.yaml --tasks gsm")
def collect_target_states_command(config: ConfigOption, tasks: Tasks = "") -> None:
    """Collects states of validation examples at the first warm-up's last checkpoint, by forward passes alone."""
    from equipoise.gradients.collect import collect_target_states

    experiment = open_for(config, "collect_target_states")
    last, names = last_epoch(experiment), some_of("--tasks", tasks, experiment.tasks)
    refuse_missing_targets(experiment, names)
    refuse_missing_checkpoints(experiment, [last])
    with one_writer(*(experiment.layout.target_states_manifest(last, name) for name in names)):
        collect_target_states(experiment, names)


@stage("assemble_attribution", epilog="Example:  equipoise assemble_attribution --config config.yaml --shard 0")
def assemble_attribution_command(config: ConfigOption, shard: Shard, matrix: Matrix = "influence", by: EstimatorOption = "") -> None:
    """Computes a shard's rows of the attribution matrix and their column moments."""
    from equipoise.attribution.assemble import assemble_attribution, shard_plan

    experiment = estimated(open_for(config, "assemble_attribution"), by)
    one_of("--matrix", matrix, (*MATRICES, SAMPLED))
    shard_plan(experiment, shard, matrix=matrix)  # raises for a shard that does not exist
    with one_writer(experiment.layout.matrix_shard_manifest(matrix, shard_label(shard))):
        assemble_attribution(experiment, matrix, shard)


@stage("seal_attribution", epilog="Example:  equipoise seal_attribution --config config.yaml")
def seal_attribution_command(config: ConfigOption, matrix: Matrix = "influence", by: EstimatorOption = "") -> None:
    """Checks that all rows of the matrix are there and merges the column moments."""
    from equipoise.attribution.seal import seal_attribution

    experiment = estimated(open_for(config, "seal_attribution"), by)
    seal_attribution(experiment, one_of("--matrix", matrix, (*MATRICES, SAMPLED)))


@stage("fit_influence_model", epilog="Example:  equipoise fit_influence_model --config config.yaml")
def fit_influence_model_command(config: ConfigOption, by: EstimatorOption = "") -> None:
    """Fits the model that predicts influence from states on the sampled rows' influence (estimator mates)."""
    from equipoise.attribution.influence_model import fit_influence_model

    experiment = estimated(open_for(config, "fit_influence_model"), by)
    if not is_predicted(experiment):
        raise UserError("gradients: nothing is predicted; write estimator: mates and a mates.share below 1")
    with one_writer(experiment.layout.influence_model_manifest):
        fit_influence_model(experiment)
