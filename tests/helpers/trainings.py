"""A training of the tiny experiment, ready to start, and its curve read back."""

import yaml

from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.layout import Run

RUN = Run("bids", 0, "0.2", 3, 0)


def prepared(values, tmp_path, name, **training):
    """An experiment called `name` on the tiny pool, its configuration file written."""
    values = {**values, "experiment": name, "training": values["training"] | training}
    config = parse_config(values)
    prepare_pool(config)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return config, path


def losses(folder):
    """(step, loss) of a training's curve, read back from its TensorBoard files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("train/loss")]
