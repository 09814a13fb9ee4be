"""The matrix store: `matrix.zarr` float32 [N, V] and, beside it, `valid.zarr` int8 [N] (1 valid, 0 flagged, -1 never written).

Both are plain Zarr v3 arrays in chunks of 1,024 rows, uncompressed, with crc32c. A flagged row is all NaN. Column j belongs to the j-th
validation example, tasks in config order, examples in the order of their validation.parquet. Fill values are NaN and -1, so that what
was never written cannot pass for data.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError, first_line
from equipoise.files import retried, sync_folder
from equipoise.layout import CHUNK_ROWS
from equipoise.store.remains import array_settings, one_at_a_time, remove_foreign, remove_partial, writable

VALID, FLAGGED, UNWRITTEN = 1, 0, -1


def valid_path(matrix: str | Path) -> Path:
    """Where the flags of a matrix lie."""
    return Path(matrix).parent / "valid.zarr"


def open_array(path: str | Path) -> Any:
    """A Zarr array for reading; raises `UserError` when there is none."""
    import zarr

    try:
        return zarr.open_array(str(path), mode="r")
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no Zarr array ({first_line(error)}); run assemble_attribution, or name an existing matrix") from None


def read_valid(matrix: str | Path) -> np.ndarray:
    """bool [N], the valid rows; raises `UserError` when the flags are missing or some row was never written."""
    path = valid_path(matrix)
    array = open_array(path)
    refuse_missing_chunks(path, array)
    try:
        flags = np.asarray(retried(lambda: array[:]))
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); run assemble_attribution again") from None
    if (flags == UNWRITTEN).any():
        raise UserError(f"{path}: row {int(np.argmax(flags == UNWRITTEN))} was never written; run assemble_attribution for its shard")
    return flags == VALID


def refuse_missing_chunks(path: str | Path, array: Any) -> None:
    """Raises `UserError` naming the first chunk file that is not there: zarr would read it silently as fill values."""
    keys = (f"c/{chunk}" + "/0" * (array.ndim - 1) for chunk in range(-(-array.shape[0] // array.chunks[0])))
    missing = next((key for key in keys if not (Path(path) / key).is_file()), None)
    if missing is not None:
        raise UserError(f"{path}/{missing}: missing chunk of the matrix; run assemble_attribution for its shard again")


def read_rows(path: str | Path, array: Any, start: int, stop: int) -> np.ndarray:
    """Rows [start, stop) of a matrix array; raises `UserError` that names the damaged chunk."""
    try:
        return np.asarray(retried(lambda: array[start:stop]))
    except ValueError as error:
        for chunk in range(start // CHUNK_ROWS, -(-stop // CHUNK_ROWS)):
            try:
                array[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS]
            except ValueError:
                raise UserError(f"{path}/c/{chunk}/0: damaged chunk of the matrix ({error}); run assemble_attribution again") from None
        raise


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
            self._values = self._open(self.path, (rows, columns), "float32")
            self._valid = self._open(valid_path(self.path), (rows,), "int8")
            if self._values.attrs.get("identity") != identity:
                self._values.attrs["identity"] = identity
        sync_folder(self.path.parent)

    @staticmethod
    def _open(path: Path, shape: tuple[int, ...], dtype: str) -> Any:
        import zarr

        remove_partial(path / "zarr.json")
        if not (path / "zarr.json").exists():
            zarr.create_array(str(path), **array_settings(shape, dtype))
        return writable(zarr.open_array(str(path), mode="r+"), shape)

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

    def _files(self, start: int, stop: int) -> list[Path]:
        """Files of the chunks of rows [start, stop), of values and flags."""
        chunks = [str(chunk) for chunk in range(start // CHUNK_ROWS, -(-stop // CHUNK_ROWS))]
        return [self.path / "c" / chunk / "0" for chunk in chunks] + [valid_path(self.path) / "c" / chunk for chunk in chunks]
