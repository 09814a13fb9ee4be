"""Opens a Zarr array of the user's. What was never written would be read as fill values and ranked: missing chunks are refused when the
array is opened, chunks that are missing within a shard when their rows are read.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError, first_line
from equipoise.inputs import regular_tree

WRITE = "write all of them (write_empty_chunks=True)"


class Sharded:
    """A sharded array of floating numbers, read by row slices; a chunk that its shard does not hold is refused."""

    def __init__(self, array: Any, path: Path):
        import zarr

        self.shape, self.dtype, self.chunks, self.shards, self.attrs = array.shape, array.dtype, array.chunks, array.shards, array.attrs
        self._array, self._path = array, path
        self._told_apart = zarr.Array.from_dict(array.store_path, array.metadata.to_dict() | {"fill_value": "NaN"})

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Rows as they are stored. Raises `UserError` for a chunk that is missing: only there the fill value makes a difference."""
        values = self._told_apart[rows]
        suspect = np.isnan(values)
        if suspect.any():
            missing = suspect & ~np.isnan(self._array[rows])
            if missing.any():
                row, column = np.argwhere(missing)[0]
                row += range(self.shape[0])[rows].start
                raise UserError(f"{self._path}: row {row}, column {column} lies in a missing chunk of its shard; {WRITE}")
        return values


def open_zarr_array(path: Path) -> Any:
    """The array in `path`, or the only one with two dimensions of the group there. Raises `UserError` for anything else."""
    import zarr

    held = regular_tree(path, "the path of a Zarr array")
    try:
        opened = zarr.open(str(path), mode="r")
        arrays = {name: array for name, array in opened.arrays() if array.ndim == 2} if isinstance(opened, zarr.Group) else {}
    except Exception as error:  # whatever of zarr, its codecs or numpy stumbles over metadata that say what cannot be
        raise UserError(f"{path}: no Zarr array ({first_line(error)}); write the path of one") from None
    if isinstance(opened, zarr.Group):
        if len(arrays) != 1:
            found = ", ".join(arrays) or "none"
            raise UserError(f"{path}: a Zarr group must hold exactly one two-dimensional array, found {found}; write the array's own path")
        opened = next(iter(arrays.values()))
    _refuse_missing_chunks(opened, path, held)
    return Sharded(opened, path) if opened.shards and opened.dtype.kind == "f" else opened


def _refuse_missing_chunks(array: Any, path: Path, held: set[str]) -> None:
    """Raises `UserError` for an array of which a chunk (or shard) is not among the files `held`: zarr would read it as fill values, as many
    as the metadata claim."""
    sizes = array.shards or array.chunks
    if any(size < 1 for size in (*array.shape, *sizes)):
        raise UserError(f"{path}: shape {array.shape} in chunks of {sizes}; write an N x V matrix, in chunks of at least one number")
    grid = [-(-length // size) for length, size in zip(array.shape, sizes, strict=True)]
    for number in range(min(math.prod(grid), len(held) + 1)):  # of more chunks than files, one is missing
        place = []
        for length in reversed(grid):
            number, at = divmod(number, length)
            place.append(at)
        chunk = array.metadata.encode_chunk_key(tuple(reversed(place)))
        if (f"{array.path}/{chunk}" if array.path else chunk) not in held:
            raise UserError(f"{path / array.path / chunk}: missing chunk of {array.shape}; {WRITE}")
