"""What the trials are made with: all validation examples as tokens, and the pool rows that can be trained on."""

from typing import TYPE_CHECKING

import numpy as np

from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.store.manifest import read_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from equipoise.modelling.chat import Encoded


def validation_examples(config: Experiment, tokenizer: "PreTrainedTokenizerBase") -> list["Encoded"]:
    """The columns of the matrix as tokens: tasks in config order."""
    longest, last_turn = config.targets.longest(config.model), config.training.last_turn
    return [each for task in config.tasks for each in encode_file(config.layout.target(task), tokenizer, longest, last_turn=last_turn)]


def column_tasks(config: Experiment) -> np.ndarray:
    """The task of every validation example, text [V]."""
    return np.repeat(list(config.tasks), [read_manifest(config.layout.target_manifest(task), "targets")["rows"] for task in config.tasks])


def usable_rows(config: Experiment) -> np.ndarray:
    """Pool rows with a completion token, int64."""
    import pyarrow.parquet as pq

    return np.flatnonzero(pq.read_table(config.layout.pool, columns=["completion_tokens"])["completion_tokens"].to_numpy() > 0)


def trial_inputs(config: Experiment) -> dict[str, object]:
    """What all trials are made from, for their fingerprints: pool, validation examples, base."""
    from equipoise.modelling.base import base_identity

    targets = [read_manifest(config.layout.target_manifest(task), "targets")["digest"] for task in config.tasks]
    return {
        "pool": read_manifest(config.layout.pool_manifest, "pool")["digest"],
        "targets": targets,
        "base": base_identity(config.model),
    }
