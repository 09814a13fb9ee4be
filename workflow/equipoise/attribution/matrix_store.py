"""The matrix store: `matrix.zarr` float32 [N, V] and, beside it, `valid.zarr` int8 [N] (1 valid, 0 flagged, -1 never written).

Both are plain Zarr v3 arrays in chunks of 1,024 rows, uncompressed, with crc32c. A flagged row is all NaN. Column j belongs to the j-th
validation example, tasks in config order, examples in the order of their validation.parquet. Fill values are NaN and -1, so that what
was never written cannot pass for data. The manifests of the shards, and the matrix's own, list the crc32c of every chunk.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError
from equipoise.files import sync_folder
from equipoise.layout import CHUNK_ROWS
from equipoise.store.artefact import Artefact
from equipoise.store.remains import one_at_a_time, remove_foreign, remove_partial, writable
from equipoise.store.stored_array import StoredArray, listed

VALID, FLAGGED, UNWRITTEN = 1, 0, -1


def valid_path(matrix: str | Path) -> Path:
    """Where the flags of a matrix lie."""
    return Path(matrix).parent / "valid.zarr"


def open_values(matrix: Artefact, parts: Sequence[Artefact] = (), rows: int | None = None) -> StoredArray:
    """The values of a sealed matrix, float32 [N, V]; or those that manifests of its shards vouch for, of `rows` rows in all."""
    return matrix.array("matrix.zarr", matrix["rows"] if rows is None else rows, parts)


def read_valid(matrix: Artefact, parts: Sequence[Artefact] = (), rows: int | None = None) -> np.ndarray:
    """bool [N], the valid rows, as `open_values`. Raises `UserError` when some row was never written."""
    array = matrix.array("valid.zarr", matrix["rows"] if rows is None else rows, parts)
    flags = array.read(0, array.shape[0])
    if (flags == UNWRITTEN).any():
        place = f"{array.path}: row {int(np.argmax(flags == UNWRITTEN))}"
        raise UserError(f"{place} was never written; run assemble_attribution for its shard")
    return flags == VALID


def chunk_digest(values: np.ndarray, valid: np.ndarray) -> str:
    """SHA-256 of a chunk's values (float32 [n, V]) and flags (bool [n])."""
    total = hashlib.sha256(np.ascontiguousarray(values).data)
    total.update(np.ascontiguousarray(valid, dtype=np.int8).data)
    return total.hexdigest()


class MatrixStore:
    """A matrix opened for writing.

    A matrix of other columns is replaced; one with the same columns is kept, and its number of rows may grow or shrink. Jobs that own
    different chunks may write at the same time.
    """

    def __init__(self, path: str | Path, rows: int, columns: int, identity: str):
        """identity: fingerprint of what the columns are."""
        self.path, self.rows = Path(path), rows
        with one_at_a_time(self.path):
            remove_foreign(self.path, "identity", identity, "has other columns", valid_path(self.path))
            self._columns = columns
            self._values = writable(self.path, (rows, columns), "float32")
            self._valid = writable(valid_path(self.path), (rows,), "int8")
            if self._values.attrs.get("identity") != identity:
                self._values.attrs["identity"] = identity
        sync_folder(self.path.parent)

    def write(self, start: int, values: np.ndarray, valid: np.ndarray) -> None:
        """Writes a whole chunk: values float32 [n, V] (NaN in flagged rows) and valid bool [n]."""
        for file in self._files(start, start + len(values)):
            remove_partial(file)
        self._values[start : start + len(values)] = values
        self._valid[start : start + len(values)] = valid.astype(np.int8)

    def sync(self, start: int, stop: int) -> None:
        """Makes the chunks of rows [start, stop) durable, before a manifest vouches for them."""
        folders = {self.path / "c", valid_path(self.path) / "c"}
        for file in self._files(start, stop):
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
            folders.add(file.parent)
        for folder in sorted(folders):
            sync_folder(folder)

    def listed(self, start: int, stop: int) -> dict[str, dict[str, Any]]:
        """What a manifest lists of values and flags for the chunks of rows [start, stop), by the array's name."""
        chunks = range(start // CHUNK_ROWS, -(-stop // CHUNK_ROWS))
        flags = valid_path(self.path)
        return {
            self.path.name: listed(self.path, "float32", self._columns, chunks),
            flags.name: listed(flags, "int8", None, chunks),
        }

    def _files(self, start: int, stop: int) -> list[Path]:
        """Files of the chunks of rows [start, stop), of values and flags."""
        chunks = [str(chunk) for chunk in range(start // CHUNK_ROWS, -(-stop // CHUNK_ROWS))]
        return [self.path / "c" / chunk / "0" for chunk in chunks] + [valid_path(self.path) / "c" / chunk for chunk in chunks]
