"""A training of the tiny experiment: ready to start, started as in a job, and its curve read back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import yaml

from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.layout import Run
from helpers import warm

RUN = Run("bids", 0, "0.2", 3, 0)


def prepared(values, tmp_path, name, **training):
    """An experiment called `name` on the tiny pool, its configuration file written."""
    values = {**values, "experiment": name, "training": values["training"] | training}
    config = parse_config(values)
    prepare_pool(config)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return config, path


def start(command, path, log, *arguments, python=sys.executable):
    """`equipoise COMMAND --config PATH ...` as a process group of its own, as in a job."""
    environment = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")} | warm.OFFLINE
    line = [python, "-m", "equipoise", command, "--config", str(path), *arguments]
    return subprocess.Popen(line, stderr=log, stdout=log, env=environment, start_new_session=True)


def run(command, path, *arguments):
    log = Path(path).with_suffix(".log")
    with open(log, "a") as file:
        status = start(command, path, file, *arguments, python=warm.STAGES.start()).wait()
    assert status == 0, log.read_text()
    return log.read_text()


def losses(folder):
    """(step, loss) of a training's curve, read back from its TensorBoard files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("train/loss")]


@contextmanager
def killed_at(number: int | None) -> Iterator[list[int]]:
    """Trainings die in their forward pass of this number, as by Ctrl-C; none: they go on. Gives a list that has an entry a pass."""
    from transformers import Trainer

    real, passes = Trainer.training_step, []

    def step(self, *arguments, **named):
        passes.append(1)
        if len(passes) == number:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    with patch.object(Trainer, "training_step", step):
        yield passes
