"""Holds the user's own scores (estimator `matrix`) to pool and validation examples before a job starts."""

from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.attribution.matrix_file import open_matrix
from equipoise.attribution.own_scores import refuse_unfit
from equipoise.collecting import score_files
from equipoise.config import Experiment
from equipoise.conversation.reading import Summary
from equipoise.data.pool import pool_records, tokenised
from equipoise.modelling.base import load_tokenizer
from equipoise.store.artefact import is_made


def examine_own_scores(config: Experiment, targets: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[int, int, str]:
    """Rows, columns, and what they were held to; targets: validation examples by task. Raises `UserError` for scores that do not fit."""
    path, _ = config.gradients.matrix.file, score_files(config, must_exist=True)
    columns = [{"task": task, "id": str(example["id"])} for task, examples in targets.items() for example in examples]
    ids = _pool_ids(config)
    file = open_matrix(path)
    refuse_unfit(path, file, ids, columns)
    named = " and ".join(what for what, names in (("rows", file.ids), ("columns", file.columns)) if names) or "neither rows nor columns"
    rows, width = file.values.shape
    held = "held to the pool" if ids is not None else "not held to the pool, whose rows pool.decontaminate: remove leaves open until it ran"
    return rows, width, f"{path}: {held}; names {named}"


def _pool_ids(config: Experiment) -> list[str] | None:
    """Ids of the pool's rows; none where only later stages know them."""
    if pool := is_made(config, "pool"):
        import pyarrow.parquet as pq

        return pq.read_table(pool.only_file(), columns=["id"])["id"].to_pylist()
    if config.pool.decontaminate == "remove":
        return None
    summary = Summary()
    records = pool_records(config, summary)
    if config.pool.bad_rows == "skip":
        records = (record for record, _ in tokenised(config, load_tokenizer(config.model), records, summary))
    return [record.id for record in records]
