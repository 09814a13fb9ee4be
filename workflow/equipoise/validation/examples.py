"""What the trials are made with: all validation examples as tokens, and the pool rows that can be trained on."""

from typing import TYPE_CHECKING

import numpy as np

from equipoise.config import Experiment
from equipoise.data.encoding import encode_file
from equipoise.store.artefact import open_artefact

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from equipoise.modelling.chat import Encoded


def validation_examples(config: Experiment, tokenizer: "PreTrainedTokenizerBase") -> list["Encoded"]:
    """The columns of the matrix as tokens: tasks in config order."""
    longest, last_turn = config.targets.longest(config.model), config.training.last_turn
    files = [open_artefact(config, "targets", task=task).only_file() for task in config.tasks]
    return [each for file in files for each in encode_file(file, tokenizer, longest, last_turn=last_turn)]


def column_tasks(config: Experiment) -> np.ndarray:
    """The task of every validation example, text [V]."""
    return np.repeat(list(config.tasks), [open_artefact(config, "targets", task=task)["rows"] for task in config.tasks])


def usable_rows(config: Experiment) -> np.ndarray:
    """Pool rows with a completion token, int64."""
    import pyarrow.parquet as pq

    pool = pq.read_table(open_artefact(config, "pool").only_file(), columns=["completion_tokens"])
    return np.flatnonzero(pool["completion_tokens"].to_numpy() > 0)


def subset_strata(config: Experiment, usable: np.ndarray) -> np.ndarray | None:
    """The source of every usable row, where subsets are stratified by it."""
    import pyarrow.parquet as pq

    if config.validation.subsets.strata == "none":
        return None
    pool = pq.read_table(open_artefact(config, "pool").only_file(), columns=["source"])
    return pool["source"].to_numpy(zero_copy_only=False)[usable]


def trial_inputs(config: Experiment) -> dict[str, object]:
    """What all trials are made from, for their fingerprints: pool, validation examples, base."""
    from equipoise.modelling.base import base_identity

    targets = [open_artefact(config, "targets", task=task)["digest"] for task in config.tasks]
    return {
        "pool": open_artefact(config, "pool")["digest"],
        "targets": targets,
        "base": base_identity(config.model),
    }
