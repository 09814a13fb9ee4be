"""Assembles a shard's rows of a matrix: A[i, j] = sum_e w_e * <pool gradient i, validation gradient j>, w_e = lr_e / sum lr.

The products are cosines or of whole rows, as the estimator says (`scaled`). With `residual` (trak) it is their plain mean over epochs,
times the mean over epochs of 1 - p_i, p_i = exp(-loss of pool row i). Epochs are those of every warm-up. The matrices `last_token` and
`position_weighted` hold cosines of hidden states at the first warm-up's last epoch instead. How stored rows are multiplied stands in
`products.py`; rows may also come from a file of the user's (`own_scores.py`) or be predicted (`influence_model.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.attribution.column_moments import chunk_partials
from equipoise.attribution.influence_model import Predicted
from equipoise.attribution.matrix_store import MatrixStore, chunk_digest
from equipoise.attribution.own_scores import OwnScores
from equipoise.attribution.products import Term, assemble_chunks
from equipoise.collecting import INFLUENCE, STATES, is_own, is_predicted, score_files, store_kind
from equipoise.config import Experiment
from equipoise.data.shards import collected_plan
from equipoise.errors import UserError
from equipoise.estimators import row_estimator
from equipoise.experiment import fitted, matrix_epochs, tells_reliability
from equipoise.files import atomic_path
from equipoise.gradients.width import NONE, projection_of
from equipoise.layout import CHUNK_ROWS, Epoch, shard_label
from equipoise.progress import log
from equipoise.selectors import MATRICES, SAMPLED
from equipoise.store.artefact import Artefact, is_made, open_artefact, publish
from equipoise.store.digests import remembered_digest
from equipoise.store.gradients import VALID, GradientReader
from equipoise.store.manifest import fingerprint


def assemble_attribution(config: Experiment, matrix: str, shard: int) -> None:
    """Writes the rows of `jobs.assembly` shards from `shard` on to layout.matrix(matrix), their moments and, last, their manifest.

    The manifest (kind `matrix_shard`), named after the first shard, holds rows [start, stop), identity (fingerprint of the columns),
    fingerprint of all inputs, and per 1,024-row chunk the digest and the number of valid rows; `<manifest>.moments.npy`, float64
    [chunks, 2, V], holds the chunks' means and sums of squared deviations, and where reliability can be told [chunks, 7, V], with the
    co-moments of the halves (`reliability`). Rows whose inputs have not changed and that are intact are
    left alone. Raises `UserError` for an unknown matrix or shard and for missing, damaged or mismatched inputs, by name.
    """
    if matrix not in (*MATRICES, SAMPLED):
        raise UserError(f"matrix {matrix!r}: write one of {', '.join((*MATRICES, SAMPLED))}")
    layout = config.layout
    rows, shards = shard_plan(config, shard, config.jobs.assembly, matrix)
    start, stop = shards[shard][0], shards[max(shards)][1]
    columns = column_list(config)
    identity = fingerprint({"matrix": matrix, "columns": columns})
    made = _made(config, matrix, columns, shards)
    described = {"matrix": matrix, "rows": [start, stop], "identity": identity}
    halves: list[np.ndarray] | None = [] if tells_reliability(config, matrix) and projection_of(config).kind != NONE else None
    described["fingerprint"] = fingerprint({**made.determined, "identity": identity, "halves": halves is not None})
    of = {"matrix": matrix, "shard": shard_label(shard)}
    manifest = layout.matrix_shard_manifest(**of)
    if _is_current(config, of, described, rows):
        log(f"{manifest}: inputs unchanged, rows intact; nothing to do")
        return
    store = MatrixStore(layout.matrix(matrix), rows, len(columns), identity)
    digests, counts, partials = [], [], []
    for at, values, valid in made.chunks(rows, start, stop, halves):
        store.write(at, values, valid)
        moments = np.zeros((2, len(columns)))
        counts.append(int(chunk_partials(values, valid.view(np.uint8), 0, len(columns), *moments)))
        partials.append(moments)
        digests.append(chunk_digest(values, valid))
    store.sync(start, stop)
    with atomic_path(moments_path(manifest)) as part, open(part, "wb") as file:
        np.save(file, np.array(partials) if halves is None else np.concatenate([partials, halves], axis=1), allow_pickle=False)
    arrays = store.listed(start, stop)
    publish(config, "matrix_shard", of, [moments_path(manifest)], arrays, **described, digests=digests, counts=counts)


def _made(
    config: Experiment, matrix: str, columns: list[dict[str, str]], shards: dict[int, list[int]]
) -> "_FromStores | _FromFile | _FromModel":
    if is_own(config, matrix):
        return _FromFile(config, columns)
    return _FromModel(config) if is_predicted(config, matrix) else _FromStores(config, matrix, shards)


class _FromModel:
    """Rows that the influence model predicts; determined: what they depend on."""

    def __init__(self, config: Experiment):
        self._predicted = Predicted(config)
        self.determined = {"model": self._predicted.determined}

    def chunks(self, rows: int, start: int, stop: int, halves: None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """As `assemble_chunks`."""
        return self._predicted.chunks(start, stop)


class _FromFile:
    """Rows of the user's own scores; determined: what they depend on."""

    def __init__(self, config: Experiment, columns: list[dict[str, str]]):
        self.determined = {
            "files": [remembered_digest(file) for file in score_files(config)],
            "pool": open_artefact(config, "pool")["digest"],
        }
        self._config, self._columns = config, columns

    def chunks(self, rows: int, start: int, stop: int, halves: None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """As `assemble_chunks`. Raises `UserError` where file, pool and validation examples do not fit."""
        return OwnScores(self._config, self._columns).chunks(start, stop)


class _FromStores:
    """Rows that are products of stored ones; determined: what they depend on."""

    def __init__(self, config: Experiment, matrix: str, shards: dict[int, list[int]]):
        epochs = matrix_epochs(config, matrix)
        self._residual = matrix not in STATES and row_estimator(config.gradients).residual
        self._weights = [1 / len(epochs)] * len(epochs) if self._residual else epoch_weights(config, epochs)
        self._stores = [_open_stores(config, matrix, epoch, shards) for epoch in epochs]
        self._config, self._state = config, matrix if matrix in STATES else None
        inputs = [part for each in self._stores for part in each.identity]
        self.determined = {"inputs": inputs, "weights": self._weights, "residual": self._residual}

    def chunks(self, rows: int, start: int, stop: int, halves: list[np.ndarray] | None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """As `assemble_chunks`."""
        pairs = zip(self._stores, self._weights, strict=True)
        terms = [_term(self._config, each, weight, self._state, rows, self._residual) for each, weight in pairs]
        return assemble_chunks(terms, start, stop, halves)


def shard_plan(config: Experiment, first: int, count: int = 1, matrix: str = INFLUENCE) -> tuple[int, dict[int, list[int]]]:
    """Rows of a matrix (the pool's, or the sampled ones), and the ranges [start, stop) of at most `count` shards from `first` on.

    Raises `UserError` for a shard that does not exist.
    """
    pool = open_artefact(config, "pool")
    rows, plan = matrix_plan(config, pool, matrix)
    if not 0 <= first < len(plan):
        raise UserError(f"shard {first}: {pool.path} plans {len(plan)}; write 0 to {len(plan) - 1}")
    return rows, dict(list(enumerate(plan))[first : first + count])


def matrix_plan(config: Experiment, pool: Artefact, matrix: str) -> tuple[int, list[list[int]]]:
    """Rows of a matrix and their ranges by shard."""
    return collected_plan(config, pool) if matrix == SAMPLED else (pool["rows"], pool["shards"])


def epoch_weights(config: Experiment, epochs: list[Epoch]) -> list[float]:
    """Mean learning rate of each epoch, divided by their sum."""
    rates = [open_artefact(config, "checkpoint", epoch=epoch)["mean_learning_rate"] for epoch in epochs]
    if not sum(rates) > 0:
        raise UserError(
            f"{config.layout.checkpoint_manifest(epochs[0])}: mean learning rates {rates} must sum to more than 0; run warm_up again"
        )
    return [rate / sum(rates) for rate in rates]


def column_list(config: Experiment) -> list[dict[str, str]]:
    """{task, id} of every column, tasks in config order, ids in the order of their validation.parquet."""
    return [{"task": task, "id": str(name)} for task in config.tasks for name in _target_ids(config, task)]


def _target_ids(config: Experiment, task: str) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(open_artefact(config, "targets", task=task).only_file(), columns=["id"])["id"].to_pylist()


@dataclass(frozen=True)
class _Stores:
    """The stores of an epoch: manifests of the shards' part of the pool's, of every task's, and of the fit that the matrix is made with.

    path, target_paths: of the pool's store, and of every task's.
    """

    epoch: Epoch
    path: str
    target_paths: dict[str, str]
    pool: list[Artefact]
    targets: dict[str, Artefact]
    fit: Artefact | None

    @property
    def identity(self) -> list[Any]:
        """What determines the epoch's share of the rows: fingerprint and digest of every store part and fit."""
        fit = [[self.fit["fingerprint"], self.fit["files"]]] if self.fit else []
        return [*fit, *([part["fingerprint"], part["digest"]] for part in (*self.pool, *self.targets.values()))]


def _open_stores(config: Experiment, matrix: str, epoch: Epoch, shards: dict[int, list[int]]) -> _Stores:
    pool, layout = [], config.layout
    of_pool, of_targets = (store_kind(config, side, matrix) for side in ("pool", "target"))
    for shard, rows in shards.items():
        part = open_artefact(config, of_pool, epoch=epoch, shard=shard_label(shard))
        if part["rows"] != rows:
            raise UserError(f"{part.path}: holds rows {part['rows']}, the pool's plan says {rows}; run collect_{of_pool} again")
        pool.append(part)
    targets = {task: open_artefact(config, of_targets, epoch=epoch, task=task) for task in config.tasks}
    paths = {task: getattr(layout, of_targets)(epoch, task) for task in config.tasks}
    with_fit = matrix not in STATES and fitted(config, "matrix", epoch)
    path = getattr(layout, of_pool)(epoch)
    return _Stores(epoch, path, paths, pool, targets, open_artefact(config, "curvature", epoch=epoch) if with_fit else None)


def _term(config: Experiment, stores: _Stores, weight: float, state: str | None, rows: int, residual: bool) -> Term:
    reader = GradientReader(stores.path, stores.pool, rows)
    scaled = state is None and reader.scaled
    targets = np.concatenate([_target_rows(config, stores, task, state, reader) for task in config.tasks])
    if stores.fit is not None:
        targets = row_estimator(config.gradients).fitted.load()(config).solved(stores.epoch, targets)
    return Term(reader, (targets * weight).astype(np.float32), scaled, state, weight if residual else 0.0)


def _target_rows(config: Experiment, stores: _Stores, task: str, state: str | None, pool: GradientReader) -> np.ndarray:
    part = stores.targets[task]
    reader = GradientReader(stores.target_paths[task], [part], part["rows"][1])
    if state is None and (reader.scaled, reader.dimension) != (pool.scaled, pool.dimension):
        raise UserError(f"{reader.path}: was collected with another estimator or projection than {pool.path}; collect both again")
    rows = reader.read(0, reader.rows)
    if (rows.status != VALID).any():
        name = _target_ids(config, task)[int(np.argmax(rows.status != VALID))]
        raise UserError(f"{reader.path}: validation example {name} of task {task} has no usable gradient; take it out of the task's data")
    if state is not None:
        return reader.read_states(0, reader.rows, state).astype(np.float64)
    return rows.directions.astype(np.float64) * (rows.norm[:, None].astype(np.float64) if reader.scaled else 1.0)


def moments_path(manifest: str | Path) -> str:
    """Where a shard's partial moments lie."""
    return str(manifest).removesuffix(".json") + ".moments.npy"


def _is_current(config: Experiment, of: dict[str, str], described: dict[str, Any], rows: int) -> bool:
    """Whether the shard was made from the same inputs and its rows are still what its manifest says."""
    recorded = is_made(config, "matrix_shard", **of)
    if recorded is None or any(recorded.get(key) != value for key, value in described.items()):
        return False
    start, stop = described["rows"]
    try:
        for name in recorded["arrays"]:
            array = recorded.array(name, rows)
            for at in range(start, stop, CHUNK_ROWS):
                array.read(at, min(at + CHUNK_ROWS, stop))
    except UserError:
        return False
    return True
