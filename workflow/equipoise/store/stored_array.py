"""Reads the arrays of stores and matrices, and checks every chunk in the same act: nothing of a chunk is handed out before.

The chunks are those that zarr writes by `remains.array_settings`: 1,024 rows in C order, little-endian, uncompressed, and the crc32c of
these bytes behind them. They are read as they lie there and compared with the crc32c that a manifest or record lists: what was damaged,
cut off, taken from another array or left out is found at the cost of the checksum, where zarr itself reads a missing chunk as fill values
and takes a swapped one for sound. A manifest lists an array as {dtype, width (null: a column), first (its first chunk), crc32c}.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError
from equipoise.files import retried
from equipoise.layout import CHUNK_ROWS
from equipoise.store.manifest import remedy

TRAILER = 4
"""Bytes of a crc32c."""


def chunk_name(chunk: int, width: int | None) -> str:
    """Path of a chunk's file below its array."""
    return f"c/{chunk}" if width is None else f"c/{chunk}/0"


def trailer(path: str | Path) -> str:
    """The crc32c at the end of a chunk's file, as hex. Raises `OSError` where there is none."""

    def read() -> bytes:
        with open(path, "rb") as file:
            file.seek(-TRAILER, os.SEEK_END)
            return file.read()

    return retried(read).hex()


def listed(path: Path, dtype: str, width: int | None, chunks: range) -> dict[str, Any]:
    """What a manifest lists of an array whose `chunks` have just been written."""
    sums = [trailer(path / chunk_name(chunk, width)) for chunk in chunks]
    return {"dtype": dtype, "width": width, "first": chunks.start, "crc32c": sums}


class StoredArray:
    """An array of `rows` rows, sliced by rows; `sums` has the crc32c of the chunks that may be read.

    manifest: what vouches for it, to be named where it does not fit. Raises `UserError` naming the chunk's file for whatever is damaged.
    """

    chunks = (CHUNK_ROWS,)

    def __init__(self, path: str | Path, rows: int, dtype: str, width: int | None, sums: Mapping[int, str], manifest: str | Path):
        self.path, self.dtype, self.width = Path(path), np.dtype(dtype).newbyteorder("<"), width
        self.shape = (rows,) if width is None else (rows, width)
        self._sums, self._manifest = sums, manifest

    @staticmethod
    def chunk_size(entry: Mapping[str, Any]) -> int:
        """Bytes of a chunk's file, by what a manifest lists of its array."""
        return CHUNK_ROWS * (1 if entry["width"] is None else entry["width"]) * np.dtype(entry["dtype"]).itemsize + TRAILER

    def chunk_file(self, chunk: int) -> Path:
        """The file of a chunk."""
        return self.path / chunk_name(chunk, self.width)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise IndexError("rows are read in order")
        return self.read(start, stop)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of the array's dtype, a new array."""
        out = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        spare = None
        for chunk in range(start // CHUNK_ROWS, -(-stop // CHUNK_ROWS)):
            first = chunk * CHUNK_ROWS
            low, high = max(start, first), min(stop, first + CHUNK_ROWS)
            place = out[low - start : high - start]
            if high - low == CHUNK_ROWS:
                self._fill(chunk, place)
            else:
                spare = np.empty((CHUNK_ROWS, *self.shape[1:]), self.dtype) if spare is None else spare
                self._fill(chunk, spare)
                place[:] = spare[low - first : high - first]
        return out

    def _fill(self, chunk: int, whole: np.ndarray) -> None:
        """Reads a chunk into `whole`, all its rows, and compares its bytes with the checksum behind them and with the one listed."""
        import google_crc32c

        path = self.chunk_file(chunk)
        if chunk not in self._sums:
            raise UserError(f"{path}: no manifest vouches for this chunk; {remedy(self._manifest)}")
        content, behind = memoryview(whole).cast("B"), bytearray(TRAILER + 1)  # one byte more shows a longer file

        def read() -> int:
            with open(path, "rb", buffering=0) as file:
                return _read_fully(file.fileno(), content, behind)

        try:
            size = retried(read)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path}: missing chunk; {remedy(self._manifest)}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy(self._manifest)}") from None
        found = google_crc32c.value(np.frombuffer(content, np.uint8)).to_bytes(TRAILER, "little").hex()
        is_sound = size == len(content) + TRAILER and found == behind[:TRAILER].hex()
        if not is_sound or found != self._sums[chunk]:
            kind = "not the chunk its manifest vouches for" if is_sound else "damaged chunk"
            raise UserError(f"{path}: {kind}; {remedy(self._manifest)}")


def _read_fully(descriptor: int, content: memoryview, behind: bytearray) -> int:
    """Reads a file into `content` and then `behind`; returns its bytes. The system may give fewer at once than were asked for."""
    size, wanted = 0, len(content) + len(behind)
    while size < wanted:
        parts = [content[size:], behind] if size < len(content) else [memoryview(behind)[size - len(content) :]]
        got = os.preadv(descriptor, parts, size)
        if not got:
            break
        size += got
    return size
