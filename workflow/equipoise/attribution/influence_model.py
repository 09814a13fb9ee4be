"""The estimator `mates`: an influence model on states, fitted on the rows whose influence was computed (MATES, arXiv 2406.06046).

Features of a row are its two last-layer states and its loss at the last epoch, standardised over the sampled rows; the model is a ridge
regression with one output a validation example (scikit-learn, Cholesky). Every row of the pool, sampled or not, belongs to one of `FOLDS`
folds, and is predicted by the model that was fitted on the sampled rows of the others: exact values beside shrunken predictions, and even
held-out predictions beside those of a model of all sampled rows, spread more and would fill every ranking. The exact values are the
matrix `sampled`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.attribution.matrix_store import open_values, read_valid
from equipoise.collecting import SAMPLED, sampled_rows
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import last_epoch, shards
from equipoise.files import atomic_path
from equipoise.layout import CHUNK_ROWS
from equipoise.progress import log, track
from equipoise.seeds import derive_seed
from equipoise.store.artefact import open_artefact, publish
from equipoise.store.gradients import STATES, VALID, GradientReader
from equipoise.store.manifest import fingerprint

KIND = "influence_model"
FOLDS = 5


def fit_influence_model(config: Experiment) -> None:
    """Writes the model and its manifest: spearman (of every column, held-out predictions against exact values; null for a constant one),
    sampled (rows that were fitted on).

    The file (safetensors): centre, scale [F], slope [folds, F, V], intercept [folds, V], float64; rows int64 [n], the sampled ones with an
    influence. Raises `UserError` for fewer than two valid sampled rows a fold.
    """
    from safetensors.numpy import save_file

    matrix = open_artefact(config, "matrix", matrix=SAMPLED)
    reader, chosen = open_states(config), sampled_rows(config, open_artefact(config, "pool")["rows"])
    exact, valid = open_values(matrix).read(0, len(chosen)).astype(np.float64), read_valid(matrix)
    features = np.concatenate([_features(reader, *bound)[chosen[slice(*_within(chosen, *bound))] - bound[0]] for bound in _bounds(reader)])
    usable = valid & np.isfinite(features).all(axis=1)
    if usable.sum() < 2 * FOLDS:
        raise UserError(
            f"gradients.mates.share: {int(usable.sum())} usable rows are sampled, too few for {FOLDS} folds; write a larger share"
        )
    rows, features, exact = chosen[usable], features[usable], exact[usable]
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    features = (features - centre) / scale
    fold = folds_of(config, reader.rows)[rows]
    held_out = np.empty_like(exact)
    slopes, intercepts = [], []
    for number in track(list(range(FOLDS)), "influence model", FOLDS, "folds"):
        inside = fold != number
        slope, intercept = _fitted(config, features[inside], exact[inside])
        held_out[~inside] = features[~inside] @ slope + intercept
        slopes.append(slope)
        intercepts.append(intercept)
    path = Path(config.layout.influence_model)
    content = {"centre": centre, "scale": scale, "slope": np.array(slopes), "intercept": np.array(intercepts), "rows": rows}
    with atomic_path(path) as part:
        save_file({name: np.ascontiguousarray(values) for name, values in content.items()}, part)
    told = [_spearman(*pair) for pair in zip(held_out.T, exact.T, strict=True)]
    known = [value for value in told if value is not None]
    log(f"influence model: {len(rows):,} rows, held-out Spearman {np.median(known) if known else float('nan'):.3f} (median over columns)")
    mark = fingerprint([matrix["fingerprint"], config.gradients.mates.penalty, config.seed])
    publish(config, KIND, {}, [path], spearman=told, sampled=len(rows), fingerprint=mark)


class Predicted:
    """Rows of the influence matrix that the model predicts."""

    def __init__(self, config: Experiment):
        from safetensors.numpy import load_file

        self.manifest = open_artefact(config, KIND)
        self._model = load_file(self.manifest.only_file())
        self._reader = open_states(config)
        self._folds = folds_of(config, self._reader.rows)
        self._failed = np.setdiff1d(sampled_rows(config, self._reader.rows), self._model["rows"])

    @property
    def determined(self) -> list[Any]:
        """What the rows depend on."""
        return [self.manifest["fingerprint"], self.manifest["files"]]

    def chunks(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(first row, rows float32 [n, V], valid bool [n]) chunk by chunk.

        Flagged are rows without states, and sampled ones without influence.
        """
        model = self._model
        for at in range(start, stop, CHUNK_ROWS):
            end = min(at + CHUNK_ROWS, stop)
            features = (_features(self._reader, at, end) - model["centre"]) / model["scale"]
            valid = (self._reader.read_column("status", at, end) == VALID) & np.isfinite(features).all(axis=1)
            values = np.empty((end - at, model["intercept"].shape[1]))
            for number in range(FOLDS):
                inside = self._folds[at:end] == number
                values[inside] = np.where(valid[inside, None], features[inside], 0) @ model["slope"][number] + model["intercept"][number]
            valid[self._failed[slice(*_within(self._failed, at, end))] - at] = False
            values = values.astype(np.float32)
            values[~valid] = np.nan
            yield at, values, valid


def open_states(config: Experiment) -> GradientReader:
    """States and losses of every pool row at the first warm-up's last epoch."""
    last = last_epoch(config)
    parts = [open_artefact(config, "pool_states", epoch=last, shard=shard) for shard in shards(config)]
    return GradientReader(config.layout.pool_states(last), parts, open_artefact(config, "pool")["rows"])


def _bounds(reader: GradientReader) -> list[tuple[int, int]]:
    return [(at, min(at + CHUNK_ROWS, reader.rows)) for at in range(0, reader.rows, CHUNK_ROWS)]


def _within(rows: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """Places in sorted `rows` of those in [start, stop)."""
    first, last = np.searchsorted(rows, [start, stop]).tolist()
    return first, last


def _features(reader: GradientReader, start: int, stop: int) -> np.ndarray:
    states = [reader.read_states(start, stop, kind).astype(np.float64) for kind in STATES]
    return np.concatenate([*states, reader.read_column("loss", start, stop)[:, None].astype(np.float64)], axis=1)


def folds_of(config: Experiment, rows: int) -> np.ndarray:
    """The fold of every pool row, int64: drawn by seed, and not by the seed that sampled them."""
    return (np.random.PCG64(derive_seed(config.seed, "mates", "folds")).random_raw(rows) >> np.uint64(32)).astype(np.int64) % FOLDS


def _fitted(config: Experiment, features: np.ndarray, exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=config.gradients.mates.penalty * len(features), solver="cholesky").fit(features, exact)
    return np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)


def _spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (one, other)]
    if any(np.ptp(each) == 0 for each in ranks):
        return None
    return round(float(np.corrcoef(*ranks)[0, 1]), 6)
