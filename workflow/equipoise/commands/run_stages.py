"""The stages from the attribution matrix to the report, one command per rule, under the rule's name.

What is heavy is imported by the command that needs it.
"""

from functools import partial
from typing import Annotated

import typer

from equipoise.budgets import budget_label, parse_budget
from equipoise.commands.options import (
    epochs_of,
    one_of,
    refuse_missing_checkpoints,
    refuse_missing_targets,
    refuse_nothing_compared,
    run_of,
    some_of,
)
from equipoise.commands.panels import STAGES, Json, print_json
from equipoise.commands.stage import ConfigOption, Epochs, RunPath, SelectionSeed, Selector, open_for, open_for_training
from equipoise.measures import ACCURACY, LOSS, MEASURES
from equipoise.process import continue_in, distributed
from equipoise.selectors import selector_names
from equipoise.store.lease import one_writer

app = typer.Typer()
stage = partial(app.command, rich_help_panel=STAGES)


@stage("rank", epilog="Example:  equipoise rank --config config.yaml --selector bids")
def rank_command(config: ConfigOption, selector: Selector, selection_seed: SelectionSeed = 0) -> None:
    """Ranks the pool with a selector, up to selection.rank_to."""
    from equipoise.selection.rank import rank

    experiment = open_for(config, "rank")
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

    experiment = open_for(config, "select_budget")
    one_of("--selector", selector, selector_names())
    select_budget(experiment, selector, selection_seed, budget_label(parse_budget(budget)))


@stage("fine_tune", epilog="Example:  equipoise fine_tune --config config.yaml --run bids/selection-0/budget-0.1/epochs-4/seed-0")
def fine_tune_command(config: ConfigOption, run: RunPath) -> None:
    """Fine-tunes a fresh adapter on a selection."""
    experiment = open_for_training(config, "fine_tune")
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
    experiment = open_for(config, "evaluate")
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

    experiment = open_for_training(config, "fine_tune_and_evaluate")
    one_of("--selector", selector, dict.fromkeys(name for name, _ in folds(experiment)))
    one_of("--selection-seed", str(selection_seed), (str(seed) for name, seed in folds(experiment) if name == selector))
    for run in folds(experiment)[selector, selection_seed]:
        run_of(experiment, run.path, trained=run.trained)  # raises for a selection that does not exist
    with one_writer(experiment.layout.fold_manifest(selector, selection_seed)):
        fine_tune_and_evaluate(experiment, selector, selection_seed)


@stage("measure_one_step", epilog="Example:  equipoise measure_one_step --config config.yaml --epochs 1")
def measure_one_step_command(config: ConfigOption, epochs: Epochs = "") -> None:
    """Takes single optimizer steps, each on one pool row, and measures the losses of all validation examples after it."""
    experiment = open_for(config, "measure_one_step")
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

    experiment = open_for_training(config, "retrain")
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
def validate_influence_command(config: ConfigOption, json: Json = False) -> None:
    """Compares validation.estimators with each other and with baselines, by single steps and retrainings; makes those that are missing."""
    experiment = open_for_training(config, "validate_influence")
    refuse_nothing_compared(experiment)
    refuse_missing_targets(experiment, experiment.tasks)
    with one_writer(experiment.layout.validation):
        from equipoise.validation.validate_influence import validate_influence

        text = validate_influence(experiment)
    if not json:
        typer.echo(text)
        return
    from equipoise.store.artefact import open_artefact

    made = open_artefact(experiment, "validation")
    print_json({name: made[name] for name in ("reference", "candidates", "results", "ceiling", "excluded")})


@stage("report", epilog="Example:  equipoise report --config config.yaml")
def report_command(
    config: ConfigOption,
    partial: Annotated[bool, typer.Option("--partial", help="Now, of finished runs alone, without verdicts: report-partial/.")] = False,
) -> None:
    """Writes scores, tables, figures and the page."""
    from equipoise.reporting.report import partial_report, report

    (partial_report if partial else report)(open_for(config, "report_partial" if partial else "report"))
