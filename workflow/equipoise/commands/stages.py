"""The stages of the workflow, one command a rule, under the rule's name."""

from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.cluster.lease import one_writer

if TYPE_CHECKING:
    from equipoise.config import Experiment
    from equipoise.layout import Layout

app = typer.Typer()

ConfigOption = Annotated[
    str, typer.Option("--config", help="An experiment's YAML; the workflow passes <results>/<experiment>/config.yaml.")
]
Epochs = Annotated[str, typer.Option(help="Epochs, separated by commas; default: all.")]
Tasks = Annotated[str, typer.Option(help="Target tasks, separated by commas; default: all.")]
Matrix = Annotated[str, typer.Option(help="influence, last_token or position_weighted.")]
Selector = Annotated[str, typer.Option(help="Name of a selector.")]
SelectionSeed = Annotated[int, typer.Option(help="Selection seed of `random`.")]
RunPath = Annotated[str, typer.Option(help="selector/selection-0/budget-0.1/epochs-2/seed-0")]


def _open(path: str, stage: str) -> "Experiment":
    """Reads the configuration; fixes threads, allocator and, on a workstation, GPUs before any library starts its own."""
    from equipoise.cluster.devices import take_devices
    from equipoise.config_file import read_config
    from equipoise.process import prepare_process

    config = read_config(path)
    prepare_process(config, stage)
    take_devices(config, stage)
    return config


def _layout(config: "Experiment") -> "Layout":
    from equipoise.layout import Layout

    return Layout(config.results, config.experiment, config.model.name)


def _epochs(config: "Experiment", text: str) -> list[int]:
    from equipoise.errors import UserError

    known = range(1, config.warmup.epochs + 1)
    try:
        epochs = [int(part) for part in text.split(",")] if text else list(known)
    except ValueError:
        epochs = []
    if not epochs or any(epoch not in known for epoch in epochs):
        raise UserError(f"--epochs {text}: write epochs from 1 to {config.warmup.epochs}, separated by commas")
    return epochs


def _tasks(config: "Experiment", text: str) -> list[str]:
    from equipoise.errors import UserError

    tasks = text.split(",") if text else list(config.tasks)
    for task in tasks:
        if task not in config.tasks:
            raise UserError(f"--tasks {task}: no such task; write some of {', '.join(config.tasks)}")
    return tasks


@app.command("prepare_pool", epilog="Example:  equipoise prepare_pool --config config.yaml")
def prepare_pool_command(config: ConfigOption) -> None:
    """Reads the pool into one Parquet file with ids and token counts, and plans its shards."""
    from equipoise.data.pool import prepare_pool

    prepare_pool(_open(config, "prepare_pool"))


@app.command("prepare_targets", epilog="Example:  equipoise prepare_targets --config config.yaml --tasks gsm,math")
def prepare_targets_command(config: ConfigOption, tasks: Tasks = "") -> None:
    """Draws the validation examples of target tasks and the hold-outs of their evaluation."""
    from equipoise.data.targets import prepare_targets

    experiment = _open(config, "prepare_targets")
    prepare_targets(experiment, _tasks(experiment, tasks))


@app.command("warm_up", epilog="Example:  equipoise warm_up --config config.yaml")
def warm_up_command(config: ConfigOption) -> None:
    """Warms up the selection model; leaves adapter and Adam moments of every epoch."""
    from equipoise.process import distributed

    experiment = _open(config, "warm_up")
    with one_writer(_layout(experiment).checkpoint_manifest(experiment.warmup.epochs)):
        if distributed(experiment.training.processes, ["warm_up", "--config", config]):
            return
        from equipoise.training.warm_up import warm_up

        warm_up(experiment)


@app.command("collect_pool_gradients", epilog="Example:  equipoise collect_pool_gradients --config config.yaml --epochs 1 --shard 0")
def collect_pool_gradients_command(
    config: ConfigOption, shard: Annotated[int, typer.Option(help="Number of the shard, from 0.")], epochs: Epochs = ""
) -> None:
    """Collects the gradients of a shard's pool examples (Adam form) at epoch checkpoints."""
    from equipoise.gradients.collect import collect_pool_gradients
    from equipoise.layout import shard_label

    experiment = _open(config, "collect_pool_gradients")
    numbers = _epochs(experiment, epochs)
    with one_writer(*(_layout(experiment).pool_gradients_manifest(epoch, shard_label(shard)) for epoch in numbers)):
        collect_pool_gradients(experiment, numbers, shard)


@app.command("collect_target_gradients", epilog="Example:  equipoise collect_target_gradients --config config.yaml --epochs 1 --tasks gsm")
def collect_target_gradients_command(config: ConfigOption, epochs: Epochs = "", tasks: Tasks = "") -> None:
    """Collects the gradients of validation examples (plain form) at epoch checkpoints."""
    from equipoise.gradients.collect import collect_target_gradients

    experiment = _open(config, "collect_target_gradients")
    numbers, names = _epochs(experiment, epochs), _tasks(experiment, tasks)
    with one_writer(*(_layout(experiment).target_gradients_manifest(epoch, name) for epoch in numbers for name in names)):
        collect_target_gradients(experiment, numbers, names)


@app.command("assemble_attribution", epilog="Example:  equipoise assemble_attribution --config config.yaml --shard 0")
def assemble_attribution_command(
    config: ConfigOption, shard: Annotated[int, typer.Option(help="Number of the shard, from 0.")], matrix: Matrix = "influence"
) -> None:
    """Computes a shard's rows of the attribution matrix and their column moments."""
    from equipoise.attribution.assemble import assemble_attribution
    from equipoise.layout import shard_label

    experiment = _open(config, "assemble_attribution")
    with one_writer(_layout(experiment).matrix_shard_manifest(matrix, shard_label(shard))):
        assemble_attribution(experiment, matrix, shard)


@app.command("seal_attribution", epilog="Example:  equipoise seal_attribution --config config.yaml")
def seal_attribution_command(config: ConfigOption, matrix: Matrix = "influence") -> None:
    """Checks that all rows of the matrix are there and merges the column moments."""
    from equipoise.attribution.seal import seal_attribution

    seal_attribution(_open(config, "seal_attribution"), matrix)


@app.command("rank", epilog="Example:  equipoise rank --config config.yaml --selector bids")
def rank_command(config: ConfigOption, selector: Selector, selection_seed: SelectionSeed = 0) -> None:
    """Ranks the pool with a selector, up to selection.rank_to."""
    from equipoise.selection.stages import rank

    rank(_open(config, "rank"), selector, selection_seed)


@app.command("select_budget", epilog="Example:  equipoise select_budget --config config.yaml --selector bids --budget 0.1")
def select_budget_command(
    config: ConfigOption,
    selector: Selector,
    budget: Annotated[str, typer.Option(help="A share (0.1) or a count (500).")],
    selection_seed: SelectionSeed = 0,
) -> None:
    """Writes a ranking's prefix as a selection that is ready to train on."""
    from equipoise.selection.stages import select_budget

    select_budget(_open(config, "select_budget"), selector, selection_seed, budget)


@app.command("fine_tune", epilog="Example:  equipoise fine_tune --config config.yaml --run bids/selection-0/budget-0.1/epochs-4/seed-0")
def fine_tune_command(config: ConfigOption, run: RunPath) -> None:
    """Fine-tunes a fresh adapter on a selection."""
    from equipoise.layout import Run
    from equipoise.process import distributed

    experiment = _open(config, "fine_tune")
    with one_writer(_layout(experiment).run_manifest(Run.parse(run))):
        if distributed(experiment.training.processes, ["fine_tune", "--config", config, "--run", run]):
            return
        from equipoise.training.fine_tune import fine_tune

        fine_tune(experiment, Run.parse(run))


@app.command(
    "evaluate",
    epilog="Example:  equipoise evaluate --config config.yaml --suite miniature --run zero_shot/selection-0/budget-1.0/epochs-0/seed-0",
)
def evaluate_command(
    config: ConfigOption,
    run: RunPath,
    suite: Annotated[str, typer.Option(help="Name of a suite.")],
    suite_seed: Annotated[int, typer.Option(help="Generation seed.")] = 0,
) -> None:
    """Evaluates a run on a suite with lm-eval, hold-outs left out."""
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.layout import Run

    evaluate(_open(config, "evaluate"), Run.parse(run), suite, suite_seed)


@app.command("fine_tune_and_evaluate", epilog="Example:  equipoise fine_tune_and_evaluate --config config.yaml --selector bids")
def fine_tune_and_evaluate_command(config: ConfigOption, selector: Selector, selection_seed: SelectionSeed = 0) -> None:
    """Makes all runs on a selector's selections in one process (jobs.runs: together); finished ones are kept."""
    from equipoise.fold import fine_tune_and_evaluate

    experiment = _open(config, "fine_tune_and_evaluate")
    with one_writer(_layout(experiment).fold_manifest(selector, selection_seed)):
        fine_tune_and_evaluate(experiment, selector, selection_seed)


@app.command("report", epilog="Example:  equipoise report --config config.yaml")
def report_command(config: ConfigOption) -> None:
    """Writes scores, tables, figures and the page."""
    from equipoise.reporting.report import report

    report(_open(config, "report"))
