"""Trainings as they run in a job: an experiment's configuration file, the command in processes of its own, the curve it leaves."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool


def prepared(values, tmp_path, name, **training):
    """An experiment called `name` on the tiny pool, its configuration file written."""
    values = {**values, "experiment": name, "training": values["training"] | training}
    config = parse_config(values)
    prepare_pool(config)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return config, path


def start(command, path, log, *arguments):
    """`equipoise COMMAND --config PATH ...` as a process group of its own, as in a job."""
    environment = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    line = [sys.executable, "-m", "equipoise", command, "--config", str(path), *arguments]
    return subprocess.Popen(line, stderr=log, stdout=log, env=environment, start_new_session=True)


def run(command, path, *arguments):
    log = Path(path).with_suffix(".log")
    with open(log, "a") as file:
        status = start(command, path, file, *arguments).wait()
    assert status == 0, log.read_text()
    return log.read_text()


def losses(folder):
    """(step, loss) of a training's curve, read back from its TensorBoard files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("train/loss")]
