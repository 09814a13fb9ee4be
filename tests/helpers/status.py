"""The tiny experiment of which nothing has run yet, and one stage of its status."""

from pathlib import Path

import yaml

from equipoise.cluster.status import StageStatus, Status
from equipoise.config import Experiment
from equipoise.config_file import parse_config


def begun(values: dict) -> Experiment:
    """`tiny_values` on 2 shards, its effective configuration written."""
    config = parse_config(values | {"pool": values["pool"] | {"shards": 2}})
    Path(config.layout.config).parent.mkdir(parents=True)
    Path(config.layout.config).write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return config


def stage(status: Status, name: str) -> StageStatus:
    return next(stage for stage in status.stages if stage.stage == name)
