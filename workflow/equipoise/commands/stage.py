"""What the stages' commands share: their options, and how each opens its experiment."""

from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.cluster.devices import take_devices
from equipoise.process import prepare_process, refuse_missing_reporters
from equipoise.store.running import keep_record

if TYPE_CHECKING:
    from equipoise.config import Experiment

ConfigOption = Annotated[
    str, typer.Option("--config", help="An experiment's YAML; the workflow passes <results>/<experiment>/config.yaml.")
]
Shard = Annotated[int, typer.Option(help="Number of the shard, from 0.")]
Epochs = Annotated[str, typer.Option(help="Epochs, separated by commas, of a further warm-up as 1-seed-7; default: all.")]
Tasks = Annotated[str, typer.Option(help="Target tasks, separated by commas; default: all.")]
Matrix = Annotated[str, typer.Option(help="influence, last_token, position_weighted, or sampled (estimator mates).")]
EstimatorOption = Annotated[str, typer.Option("--estimator", help="One of validation.estimators; default: gradients.estimator.")]
Selector = Annotated[str, typer.Option(help="Name of a selector.")]
SelectionSeed = Annotated[int, typer.Option(help="Selection seed of `random`.")]
RunPath = Annotated[str, typer.Option(help="selector/selection-0/budget-0.1/epochs-2/seed-0")]


def open_for(path: str, stage: str) -> "Experiment":
    """Reads the configuration; fixes threads, allocator and, on a workstation, GPUs before any library starts its own."""
    from equipoise.config_file import read_config

    config = read_config(path)
    keep_record(config.layout.experiment_root, stage)
    prepare_process(config, stage)
    take_devices(config, stage)
    return config


def open_for_training(path: str, stage: str) -> "Experiment":
    """As `open_for`; raises `UserError` for reporters of training that are not installed."""
    config = open_for(path, stage)
    refuse_missing_reporters(config)
    return config
