"""The stage `rank`: from a sealed matrix to a ranking of the pool."""

import json
import time
from pathlib import Path

import numpy as np

from equipoise.attribution.matrix_store import open_values, read_valid
from equipoise.budgets import budget_rows
from equipoise.collecting import store_kind
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import column_epochs, last_epoch, shards
from equipoise.files import atomic_path, write_text
from equipoise.progress import log, logged_warnings
from equipoise.selection.problem import Problem
from equipoise.selection.source import Source
from equipoise.selectors import LOSSES, NORMS, SCORED, STORED, Selector
from equipoise.selectors import selector as find_selector
from equipoise.store.artefact import open_artefact, publish, relative
from equipoise.store.gradients import VALID, GradientReader, open_pool_rows


def rank(config: Experiment, selector: str, selection_seed: int) -> None:
    """Writes layout.ranking(selector, selection_seed): as far as `selection.rank_to` goes, all rows for `full`.

    Columns: rank int64 (from 0), row int64, score float64, column int64 (-1: none won the step), margin float64; NaN where there is none.
    The budgets are not read: they are prefixes of this. Beside it, for the report's cost table alone and no input of anything, lies
    `seconds_path`: how long the selector itself took, its reading of the matrix included, {"seconds": float}. Raises `UserError` when
    matrix or pool are missing, stale or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    entry = find_selector(selector)
    problem = _problem(config, entry, selection_seed)
    rows = budget_rows(config.selection.rank_to, int(np.count_nonzero(problem.valid)))
    with logged_warnings():
        choose = entry.load()
        start = time.perf_counter()
        ranking = choose(problem, rows)
        seconds = time.perf_counter() - start
    table = pa.table(
        {
            "rank": np.arange(len(ranking.rows), dtype=np.int64),
            "row": ranking.rows,
            "score": ranking.scores,
            "column": ranking.columns,
            "margin": ranking.margins,
        }
    )
    path = config.layout.ranking(selector, selection_seed)
    with atomic_path(path) as part:
        pq.write_table(table, part)
    publish(config, "ranking", {"selector": selector, "selection_seed": selection_seed}, [path], rows=len(ranking.rows))
    write_text(seconds_path(path), json.dumps({"seconds": seconds}) + "\n")
    log(f"{selector}: ranked {len(ranking.rows):,} of {int(problem.valid.sum()):,} valid rows -> {path}")


def seconds_path(ranking: str) -> Path:
    """Where the seconds of a ranking lie: apart from it, so that its bytes do not depend on them."""
    return Path(ranking).with_suffix(".seconds.json")


def _problem(config: Experiment, selector: Selector, seed: int) -> Problem:
    name = selector.matrix
    valid = valid_rows(config, name)
    pool = _pool_columns(config, selector.pool)
    if name is None:
        states, held = _states(config, selector.states) if selector.states else (None, True)
        return Problem(len(valid), valid & held, seed=seed, pool=pool, states=states, clusters=config.selection.clusters)
    manifest = open_artefact(config, "matrix", matrix=name)
    array, path = open_values(manifest), config.layout.matrix(name)
    tasks = tuple(column["task"] for column in manifest["columns"])
    ids = tuple(column["id"] for column in manifest["columns"])
    return Problem(len(valid), valid, Source(array, path, show_progress=True), tasks, ids, config.selection.normalisation, seed, pool)


def valid_rows(config: Experiment, matrix: str | None) -> np.ndarray:
    """bool [N]: the rows that may be chosen, the attribution matrix's valid ones for every selector; and valid in its own matrix."""
    names = dict.fromkeys(["influence", *([matrix] if matrix else [])])
    valid = [read_valid(open_artefact(config, "matrix", matrix=name)) for name in names]
    if len({len(rows) for rows in valid}) > 1:
        raise UserError(
            f"{config.layout.matrix_manifest(matrix)}: has other rows than the attribution matrix; run seal_attribution for both"
        )
    return np.logical_and.reduce(valid)


def _pool_columns(config: Experiment, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    found = {name: _scores(config, name) for name in names if name in SCORED}
    found |= {name: _stored(config, name) for name in names if name in STORED}
    if own := [name for name in names if name not in found]:
        table = pq.read_table(open_artefact(config, "pool").only_file(), columns=own)
        found |= {name: table[name].to_numpy() for name in own}
    return found


def _scores(config: Experiment, column: str) -> np.ndarray:
    parts = [open_artefact(config, "pool_scores", column=column, shard=shard) for shard in shards(config)]
    reader = GradientReader(config.layout.pool_scores(column), parts, open_artefact(config, "pool")["rows"])
    return reader.read_column("loss", 0, reader.rows)


def _stored(config: Experiment, column: str) -> np.ndarray:
    array = {LOSSES: "loss", NORMS: "norm"}[column]
    readers = [open_pool_rows(config, epoch) for epoch in column_epochs(config, column)]
    return np.stack([reader.read_column(array, 0, reader.rows) for reader in readers], axis=1)


def _states(config: Experiment, kind: str) -> tuple[Source, np.ndarray]:
    """The pool's states, and which rows have any."""
    of_pool, last = store_kind(config, "pool", kind), last_epoch(config)
    parts = [open_artefact(config, of_pool, epoch=last, shard=shard) for shard in shards(config)]
    path, rows = getattr(config.layout, of_pool)(last), open_artefact(config, "pool")["rows"]
    array = parts[0].array(relative(parts[0].path, Path(path) / kind), rows, parts[1:])
    status = GradientReader(path, parts, rows).read_column("status", 0, rows)
    return Source(array, f"{path}/{kind}", show_progress=True), status == VALID
