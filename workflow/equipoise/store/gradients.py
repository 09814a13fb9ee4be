"""The gradient store: one folder per (epoch, pool) or (epoch, task), its layout and its reader (method.md, "Gradient store").

A Zarr v3 group. Every array is cut into chunks of 1,024 rows, uncompressed, each chunk with a crc32c of its own:

| array | dtype, shape | content |
|---|---|---|
| directions | float16 [rows, dimension] | projected gradient divided by its norm; NaN in a flagged row; not in stores of states alone |
| norm | float32 [rows] | the norm it was divided by |
| loss | float32 [rows] | mean cross-entropy over the example's completion tokens |
| tokens | int32 [rows] | number of completion tokens |
| status | int8 [rows] | 0 valid, 1 no completion token, 2 non-finite (or zero) gradient; -1 never written |
| last_token, position_weighted | float16 [rows, hidden] | unit-length states, in stores of the last epoch only |

`chunks/<number>.json` is written after a chunk's files are on disk and vouches for them while the store is made (rows, fingerprint, digest,
counts, each array's crc32c); a chunk without it does not exist. A job's manifest, written last, lists the crc32c of all its chunks, and
who reads the store for another stage goes by manifests. The group's attributes hold `settings` (fingerprint of all that determines a row
besides the row's own tokens), `estimator` (null: states alone, without gradients), `side` (pool or target), `epoch` and `scaled`.

`scaled` says how rows of two stores combine into the matrix: false, the cosine <direction, direction> (LESS); true, the dot
product, so `norm` must be multiplied back in on both sides (tracin, logra, ekfac, trak). Nothing else here depends on the estimator.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.collecting import sample_size
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import collected_shards
from equipoise.layout import CHUNK_ROWS, Epoch
from equipoise.selectors import MATRICES
from equipoise.store.artefact import Artefact, open_artefact, relative
from equipoise.store.manifest import read_manifest, remedy
from equipoise.store.stored_array import StoredArray, chunk_name

VALID, NO_COMPLETION_TOKEN, NON_FINITE, UNWRITTEN = 0, 1, 2, -1
STATES = MATRICES[1:]
COLUMNS = {"norm": "float32", "loss": "float32", "tokens": "int32", "status": "int8"}
DENSE = ("directions", *COLUMNS)
CHUNK_KIND = "gradient_chunk"
LEAST_DOUBT = 1e-6
"""Least 1 - p that is reckoned with: an example known by heart has a gradient of no meaning."""


@dataclass(frozen=True)
class GradientRows:
    """Consecutive rows of a store: directions float16 [n, k]; norm, loss float32 [n]; tokens int32 [n]; status int8 [n].

    `states` maps `last_token` and `position_weighted` to float16 [n, hidden] where they are kept (only when writing).
    """

    directions: np.ndarray
    norm: np.ndarray
    loss: np.ndarray
    tokens: np.ndarray
    status: np.ndarray
    states: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by their name in the store, in the order of digests; no directions where they have no width (states alone)."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        directions = {"directions": self.directions} if self.directions.shape[1] else {}
        return {**directions, **columns, **dict(sorted(self.states.items()))}

    def digest(self) -> str:
        """SHA-256 of names, shapes and bytes of all arrays."""
        total = hashlib.sha256()
        for name, array in self.arrays().items():
            total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def one_minus_p(loss: np.ndarray) -> np.ndarray:
    """1 - p of examples with p = exp(-loss), float64 [n], at least `LEAST_DOUBT`; NaN where there is no loss."""
    return np.maximum(-np.expm1(-np.asarray(loss, np.float64)), LEAST_DOUBT)


def chunk_record(path: str | Path, chunk: int) -> Path:
    """The file that vouches for a chunk."""
    return Path(path) / "chunks" / f"{chunk:06d}.json"


def chunk_file(path: str | Path, array: str, chunk: int) -> Path:
    """The file that holds a chunk of an array."""
    return Path(path) / array / chunk_name(chunk, None if array in COLUMNS else 1)


def listed_arrays(manifest: str | Path, path: str | Path, records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a manifest lists of a store's arrays: chunks that follow each other, by their records."""
    return {
        relative(manifest, Path(path) / name): {
            "dtype": COLUMNS.get(name, "float16"),
            "width": records[0]["widths"].get(name),
            "first": records[0]["rows"][0] // CHUNK_ROWS,
            "crc32c": [record["crc32c"][name] for record in records],
        }
        for name in records[0]["crc32c"]
    }


def chunk_bounds(chunk: int, rows: int) -> tuple[int, int]:
    """First row of a chunk and the row after its last, in a store of `rows` rows."""
    return chunk * CHUNK_ROWS, min((chunk + 1) * CHUNK_ROWS, rows)


class GradientReader:
    """Reads a gradient store; never hands out a row that nothing vouches for.

    By itself it goes by the chunks' records, as who makes the store and `verify` do; other stages read it by its jobs' manifests.
    Raises `UserError` naming the store or the chunk's file for whatever is missing or damaged.
    """

    def __init__(self, path: str | Path, parts: Sequence[Artefact] = (), rows: int | None = None):
        """parts: manifests that vouch for chunks. rows: of the whole store, needed with them."""
        self.path = Path(path)
        if parts:
            self.attributes = {key: parts[0][key] for key in ("settings", "estimator", "side", "epoch", "scaled")}
            names = (
                *_dense(self.attributes),
                *(name for name in STATES if relative(parts[0].path, self.path / name) in parts[0]["arrays"]),
            )
            own = {name: parts[0].array(relative(parts[0].path, self.path / name), rows, parts[1:]) for name in names}
        else:
            own = self._by_records()
        self._arrays: dict[str, StoredArray] = own
        self.rows = self._arrays["status"].shape[0]
        self.dimension = self._arrays["directions"].shape[1] if "directions" in self._arrays else 0

    def _by_records(self) -> dict[str, StoredArray]:
        import zarr

        try:
            group = zarr.open_group(str(self.path), mode="r")
            self.attributes = dict(group.attrs)
            dense = _dense(self.attributes)
            found = {name: group[name] for name in (*dense, *STATES) if name in dense or (self.path / name).is_dir()}
            shapes = {name: tuple(array.shape) for name, array in found.items()}
        except (OSError, KeyError, ValueError, TypeError, AttributeError):
            raise UserError(f"{self.path}: no gradient store; run the stage that collects it") from None
        return {
            name: StoredArray(
                self.path / name, shape[0], COLUMNS.get(name, "float16"), (*shape[1:], None)[0], _Records(self, name), self.path
            )
            for name, shape in shapes.items()
        }

    @property
    def scaled(self) -> bool:
        """Whether `norm` must be multiplied back in (see the module's text)."""
        return bool(self.attributes["scaled"])

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states kept here."""
        return tuple(name for name in STATES if name in self._arrays)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.rows // CHUNK_ROWS)

    def read(self, start: int, stop: int) -> GradientRows:
        """Rows [start, stop), without states."""
        nothing = {} if self.dimension else {"directions": np.empty((stop - start, 0), np.float16)}
        return GradientRows(**nothing, **{name: self.read_column(name, start, stop) for name in _dense(self.attributes)})

    def read_states(self, start: int, stop: int, kind: str) -> np.ndarray:
        """float16 [stop - start, hidden], unit rows; `kind` is last_token or position_weighted."""
        if kind not in self._arrays:
            raise UserError(f"{self.path}: holds no {kind} states; only the last epoch's stores do")
        return self.read_column(kind, start, stop)

    def record(self, chunk: int) -> dict[str, Any]:
        """The record of a chunk: rows, fingerprint, digest, crc32c by array, counts."""
        path = chunk_record(self.path, chunk)
        if not path.is_file():
            raise UserError(f"{self.path}: chunk {chunk} was never finished ({path.name} is missing); run the stage that collects it again")
        return read_manifest(path, CHUNK_KIND)

    def read_chunk(self, chunk: int) -> GradientRows:
        """All arrays of a chunk, states included, checked against its record's digest."""
        start, stop = chunk_bounds(chunk, self.rows)
        record = self.record(chunk)
        rows = self.read(start, stop)
        rows.states.update({name: self.read_column(name, start, stop) for name in self.states})
        if record["rows"] != [start, stop] or record["digest"] != rows.digest():
            raise UserError(f"{self.path}: chunk {chunk} (rows {start} to {stop - 1}) does not match its record; {remedy(self.path)}")
        return rows

    def read_column(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of one array."""
        if not 0 <= start <= stop <= self.rows:
            raise UserError(f"{self.path}: has no rows {start} to {stop - 1}; it has {self.rows}")
        return self._arrays[name].read(start, stop)


def open_pool_rows(config: Experiment, epoch: Epoch) -> GradientReader:
    """The pool's rows at an epoch (the sampled ones), all their shards."""
    parts = [open_artefact(config, "pool_gradients", epoch=epoch, shard=shard) for shard in collected_shards(config)]
    return GradientReader(config.layout.pool_gradients(epoch), parts, sample_size(config, open_artefact(config, "pool")["rows"]))


def _dense(attributes: dict[str, Any]) -> tuple[str, ...]:
    """The arrays that a store has besides states, by its attributes: no estimator, no directions."""
    return tuple(COLUMNS) if attributes["estimator"] is None else DENSE


class _Records(dict):
    """crc32c of an array's chunks, each from its record when it is first asked for."""

    def __init__(self, reader: GradientReader, array: str):
        super().__init__()
        self._reader, self._array = reader, array

    def __contains__(self, chunk: object) -> bool:
        return self._array in self._reader.record(chunk)["crc32c"]

    def __getitem__(self, chunk: int) -> str:
        return self._reader.record(chunk)["crc32c"][self._array]
