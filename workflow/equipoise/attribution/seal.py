"""Seals a matrix: checks that every row is there and intact, and merges the column moments of all chunks in row order.

`attribute` runs all jobs of matrices in one call.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise import experiment
from equipoise.attribution.assemble import assemble_attribution, column_list, matrix_plan
from equipoise.attribution.column_moments import Moments, finish_moments, merge_partials
from equipoise.attribution.influence_model import fit_influence_model
from equipoise.attribution.matrix_store import open_values, read_valid
from equipoise.attribution.reliability import ENOUGH, forecast, merged, reliability
from equipoise.collecting import INFLUENCE, is_predicted
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.estimators import MATES
from equipoise.gradients.width import projection_of
from equipoise.layout import CHUNK_ROWS, shard_label
from equipoise.progress import log
from equipoise.selectors import SAMPLED
from equipoise.store.artefact import Artefact, open_artefact, publish
from equipoise.store.manifest import fingerprint


def seal_attribution(config: Experiment, matrix: str) -> None:
    """Writes the manifest of a matrix, kind `matrix`.

    It holds rows, columns ([{task, id}]), valid_rows, mean and std of every column over the valid rows (float64, ddof = 1; null where
    there are too few rows), reliability (`_told`; null where there is no projection noise, or halves do not tell it), digest (of
    all chunks in row order) and fingerprint (of columns and digest). Nothing in it depends on the number of shards. Raises `UserError` for
    missing, foreign, stale or damaged parts, by name.
    """
    columns = column_list(config)
    pool = open_artefact(config, "pool")
    identity = fingerprint({"matrix": matrix, "columns": columns})
    parts, stop = [], 0
    rows, plan = matrix_plan(config, pool, matrix)
    for first in map(int, experiment.assembled_shards(config, matrix)):
        planned = plan[first : first + config.jobs.assembly]
        if planned:
            parts.append(_shard(config, matrix, first, [planned[0][0], planned[-1][1]], identity))
            stop = planned[-1][1]
    if stop != rows or len(pool["shards"]) != config.pool.shards:
        raise UserError(f"{pool.path}: plans other shards than pool.shards: {config.pool.shards}; run prepare_pool again")
    digests = [digest for part in parts for digest in part["digests"]]
    _refuse_changed_rows(parts, rows)
    moments, told = _merged_moments(parts, len(columns))
    known = moments.count >= 2
    publish(
        config,
        "matrix",
        {"matrix": matrix},
        arrays=_listed(parts),
        matrix=matrix,
        rows=rows,
        columns=columns,
        valid_rows=moments.count,
        mean=moments.mean.tolist() if moments.count else None,
        std=moments.std.tolist() if known else None,
        reliability=_told(config, columns, told),
        **_learned(config, matrix),
        digest=fingerprint(digests),
        fingerprint=fingerprint({"identity": identity, "digests": digests}),
    )


def attribute(config: Experiment, matrices: Sequence[str] | None = None) -> None:
    """Assembles and seals matrices; by default those that the experiment's selectors need.

    Rows whose inputs are unchanged and that are intact are left alone. Raises `UserError` like the stages.
    """
    for matrix in experiment.matrices(config) if matrices is None else matrices:
        for shard in experiment.assembled_shards(config, matrix):
            assemble_attribution(config, matrix, int(shard))
        seal_attribution(config, matrix)
        if matrix == SAMPLED:
            fit_influence_model(config)


def _learned(config: Experiment, matrix: str) -> dict[str, Any]:
    """How well a model predicts the influence of rows that it was not fitted on, by column; null where nothing is predicted."""
    if config.gradients.estimator != MATES or matrix != INFLUENCE:
        return {}
    return {"spearman": open_artefact(config, "influence_model")["spearman"] if is_predicted(config) else None}


def _shard(config: Experiment, matrix: str, shard: int, rows: list[int], identity: str) -> Artefact:
    part = open_artefact(config, "matrix_shard", matrix=matrix, shard=shard_label(shard))
    if part["rows"] != rows or part["identity"] != identity:
        raise UserError(
            f"{part.path}: was made for another pool or other validation examples; run assemble_attribution --shard {shard} again"
        )
    return part


def _refuse_changed_rows(parts: list[Artefact], rows: int) -> None:
    values = open_values(parts[0], parts[1:], rows)
    read_valid(parts[0], parts[1:], rows)
    for start in range(0, rows, CHUNK_ROWS):
        values.read(start, min(start + CHUNK_ROWS, rows))


def _listed(parts: list[Artefact]) -> dict[str, dict[str, Any]]:
    """Values and flags as the whole matrix's manifest lists them: the chunks of all shards."""
    return {
        name: {**first, "crc32c": [crc32c for part in parts for crc32c in part["arrays"][name]["crc32c"]]}
        for name, first in parts[0]["arrays"].items()
    }


def _merged_moments(parts: list[Artefact], columns: int) -> tuple[Moments, np.ndarray | None]:
    """Moments of all rows, and the co-moments of their halves where they were taken."""
    count, mean, squares = 0, np.zeros(columns), np.zeros(columns)
    counts: list[int] = []
    halves: list[np.ndarray] = []
    for part in parts:
        partials = np.load(part.only_file(), allow_pickle=False)
        for rows, partial in zip(part["counts"], partials, strict=True):
            count = merge_partials(rows, partial[0], partial[1], 0, columns, count, mean, squares)
        counts += part["counts"]
        halves += list(partials[:, 2:])
    return finish_moments(count, mean, squares), merged(counts, halves) if halves[0].size and count >= 2 else None


def _told(config: Experiment, columns: list[dict[str, str]], co_moments: np.ndarray | None) -> dict | None:
    """Reliability of the matrix under projection noise: dimension, median over columns and every column's (null for a constant one).

    Logs it, the least of a task beside it, and warns below `ENOUGH`; None where there is nothing to tell.
    """
    if co_moments is None:
        return None
    values = reliability(co_moments)
    known = np.isfinite(values)
    if not known.any():
        return None
    names = np.array([column["task"] for column in columns])
    by_task = {task: float(np.median(values[known & (names == task)])) for task in config.tasks if (known & (names == task)).any()}
    median, least = float(np.median(values[known])), min(by_task, key=by_task.__getitem__)
    dimension = projection_of(config).dimension
    log(
        f"reliability at projection.dimension {dimension:,}: median {median:.3f} over columns, least in task {least} ({by_task[least]:.3f})"
    )
    if median < ENOUGH:
        times = 2 ** math.ceil(math.log2(9 * (1 - median) / median)) if median > 0 else 0
        advice = f"{times * dimension:,} would reach about {forecast(median, times):.2f}" if times else "a larger one is needed"
        log(f"warning: a reliability below {ENOUGH:g}: projection noise decides many picks; gradients.projection.dimension: {advice}")
    by_column = [round(value, 6) if finite else None for value, finite in zip(values.tolist(), known.tolist(), strict=True)]
    return {"dimension": dimension, "median": round(median, 6), "columns": by_column}
