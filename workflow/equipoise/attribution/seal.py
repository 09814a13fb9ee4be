"""Seals a matrix: checks that every row is there and intact, and merges the column moments of all chunks in row order.

`attribute` runs all jobs of matrices in one call.
"""

import math
from collections.abc import Sequence

import numpy as np

from equipoise import experiment
from equipoise.attribution.assemble import SHARD_KIND, assemble_attribution, column_list, moments_path, shard_plan
from equipoise.attribution.column_moments import Moments, finish_moments, merge_partials
from equipoise.attribution.matrix_store import chunk_digest, open_array, read_rows, read_valid, refuse_missing_chunks
from equipoise.attribution.reliability import ENOUGH, forecast, merged, reliability
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.layout import CHUNK_ROWS, Layout, shard_label
from equipoise.progress import log
from equipoise.store.manifest import fingerprint, read_manifest, write_manifest

MATRIX_KIND = "matrix"


def seal_attribution(config: Experiment, matrix: str) -> None:
    """Writes layout.matrix_manifest(matrix), kind `matrix`.

    It holds rows, columns ([{task, id}]), valid_rows, mean and std of every column over the valid rows (float64, ddof = 1; null where
    there are too few rows), reliability (`_told`; null where there is no projection noise, or halves do not tell it), digest (of
    all chunks in row order) and fingerprint (of columns and digest). Nothing in it depends on the number of shards. Raises `UserError` for
    missing, foreign, stale or damaged parts, by name.
    """
    layout = config.layout
    columns = column_list(config, layout)
    pool = read_manifest(layout.pool_manifest, "pool")
    identity = fingerprint({"matrix": matrix, "columns": columns})
    shards, stop = {}, 0
    for first in map(int, experiment.assembled_shards(config)):
        parts = list(shard_plan(layout, first, config.jobs.assembly)[1].values())
        shards[first], stop = _shard(layout, matrix, first, [parts[0][0], parts[-1][1]], identity), parts[-1][1]
    if stop != pool["rows"]:
        raise UserError(f"{layout.pool_manifest}: plans other shards than pool.shards: {config.pool.shards}; run prepare_pool again")
    digests = [digest for manifest in shards.values() for digest in manifest["digests"]]
    _refuse_changed_rows(layout.matrix(matrix), pool["rows"], digests)
    moments, told = _merged_moments(layout, matrix, shards, len(columns))
    known = moments.count >= 2
    write_manifest(
        layout.matrix_manifest(matrix),
        MATRIX_KIND,
        matrix=matrix,
        rows=pool["rows"],
        columns=columns,
        valid_rows=moments.count,
        mean=moments.mean.tolist() if moments.count else None,
        std=moments.std.tolist() if known else None,
        reliability=_told(config, columns, told),
        digest=fingerprint(digests),
        fingerprint=fingerprint({"identity": identity, "digests": digests}),
    )


def attribute(config: Experiment, matrices: Sequence[str] | None = None) -> None:
    """Assembles and seals matrices; by default those that the experiment's selectors need.

    Rows whose inputs are unchanged and that are intact are left alone. Raises `UserError` like the stages.
    """
    for matrix in experiment.matrices(config) if matrices is None else matrices:
        for shard in experiment.assembled_shards(config):
            assemble_attribution(config, matrix, int(shard))
        seal_attribution(config, matrix)


def _shard(layout: Layout, matrix: str, shard: int, rows: list[int], identity: str) -> dict:
    path = layout.matrix_shard_manifest(matrix, shard_label(shard))
    manifest = read_manifest(path, SHARD_KIND)
    if manifest["rows"] != rows or manifest["identity"] != identity:
        raise UserError(f"{path}: was made for another pool or other validation examples; run assemble_attribution --shard {shard} again")
    if file_digest(moments_path(path)) != manifest["moments"]:
        raise UserError(f"{moments_path(path)}: does not match {path}; run assemble_attribution --shard {shard} again")
    return manifest


def _refuse_changed_rows(matrix: str, rows: int, digests: list[str]) -> None:
    array = open_array(matrix)
    refuse_missing_chunks(matrix, array)
    valid = read_valid(matrix)
    for chunk, digest in enumerate(digests):
        start, stop = chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, rows)
        if chunk_digest(read_rows(matrix, array, start, stop), valid[start:stop]) != digest:
            place = f"{matrix}/c/{chunk}/0: rows {start} to {stop - 1}"
            raise UserError(f"{place} do not match their shard's manifest; run assemble_attribution again")


def _merged_moments(layout: Layout, matrix: str, shards: dict[int, dict], columns: int) -> tuple[Moments, np.ndarray | None]:
    """Moments of all rows, and the co-moments of their halves where they were taken."""
    count, mean, squares = 0, np.zeros(columns), np.zeros(columns)
    counts: list[int] = []
    halves: list[np.ndarray] = []
    for shard, manifest in shards.items():
        partials = np.load(moments_path(layout.matrix_shard_manifest(matrix, shard_label(shard))), allow_pickle=False)
        for rows, partial in zip(manifest["counts"], partials, strict=True):
            count = merge_partials(rows, partial[0], partial[1], 0, columns, count, mean, squares)
        counts += manifest["counts"]
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
    dimension = config.gradients.projection.dimension
    log(
        f"reliability at projection.dimension {dimension:,}: median {median:.3f} over columns, least in task {least} ({by_task[least]:.3f})"
    )
    if median < ENOUGH:
        times = 2 ** math.ceil(math.log2(9 * (1 - median) / median)) if median > 0 else 0
        advice = f"{times * dimension:,} would reach about {forecast(median, times):.2f}" if times else "a larger one is needed"
        log(f"warning: a reliability below {ENOUGH:g}: projection noise decides many picks; gradients.projection.dimension: {advice}")
    by_column = [round(value, 6) if finite else None for value, finite in zip(values.tolist(), known.tolist(), strict=True)]
    return {"dimension": dimension, "median": round(median, 6), "columns": by_column}
