"""Writes gradient stores: one owner per chunk, every chunk once and complete, and a thread so that computing does not wait for disk."""

import os
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError
from equipoise.files import sync_folder
from equipoise.progress import log
from equipoise.store.gradients import (
    CHUNK_KIND,
    COLUMNS,
    NO_COMPLETION_TOKEN,
    NON_FINITE,
    GradientReader,
    GradientRows,
    chunk_bounds,
    chunk_file,
    chunk_record,
)
from equipoise.store.manifest import read_manifest, write_manifest
from equipoise.store.remains import one_at_a_time, remove_foreign, remove_partial, writable
from equipoise.store.stored_array import trailer

QUEUED_CHUNKS = 2


class GradientStore:
    """A gradient store opened for writing.

    A store left by other settings is replaced, one with the same settings is resumed; its number of rows may grow or shrink.
    Jobs that own different chunks may work on one store at the same time.
    """

    def __init__(self, path: str | Path, rows: int, dimension: int, attributes: dict[str, Any], states: dict[str, int]):
        """attributes: settings (fingerprint), estimator, side, epoch, scaled; states: hidden size by kind of state."""
        self.path, self.rows = Path(path), rows
        self._widths = {**({"directions": dimension} if dimension else {}), **states}
        with one_at_a_time(self.path):
            remove_foreign(self.path, "settings", attributes["settings"], "was collected with other settings or inputs")
            self._arrays = self._open(attributes)

    def _open(self, attributes: dict[str, Any]) -> dict[str, Any]:
        import zarr

        remove_partial(self.path / "zarr.json")
        group = zarr.open_group(str(self.path), mode="a")
        arrays = {}
        for name in (*self._widths, *COLUMNS):
            shape = (self.rows, self._widths[name]) if name in self._widths else (self.rows,)
            arrays[name] = writable(self.path / name, shape, COLUMNS.get(name, "float16"))
        if dict(group.attrs) != attributes:
            group.attrs.update(attributes)
        (self.path / "chunks").mkdir(exist_ok=True)
        sync_folder(self.path.parent)
        return arrays

    def finished(self, chunk: int, fingerprint: str) -> dict[str, Any] | None:
        """The record of a chunk that is complete and was made from the same inputs, else None (and the log says why)."""
        path = chunk_record(self.path, chunk)
        if not path.is_file():
            return None
        try:
            record = read_manifest(path, CHUNK_KIND)
            if record["fingerprint"] != fingerprint:
                log(f"{self.path}: chunk {chunk} was collected from other rows; computing it again")
                return None
            GradientReader(self.path).read_chunk(chunk)
        except (UserError, KeyError) as error:
            log(f"{error}; computing it again")
            return None
        return record

    def write(self, chunk: int, fingerprint: str, rows: GradientRows, **notes: Any) -> dict[str, Any]:
        """Writes a chunk, syncs it and then its record; returns the record. `notes` go into the record."""
        start, stop = chunk_bounds(chunk, self.rows)
        chunk_record(self.path, chunk).unlink(missing_ok=True)
        folders, sums = set(), {}
        for name, array in rows.arrays().items():
            if len(array) != stop - start:
                raise ValueError(f"{name}: {len(array)} rows for chunk {chunk} of rows {start} to {stop - 1}")
            file = chunk_file(self.path, name, chunk)
            remove_partial(file)
            self._arrays[name][start:stop] = array
            _sync_file(file)
            sums[name] = trailer(file)
            folders |= {file.parent, file.parent.parent}
        for folder in sorted(folders):
            sync_folder(folder)
        record = {
            "rows": [start, stop],
            "fingerprint": fingerprint,
            "digest": rows.digest(),
            "crc32c": sums,
            "widths": self._widths,
            "no_completion_token": int(np.count_nonzero(rows.status == NO_COMPLETION_TOKEN)),
            "non_finite": int(np.count_nonzero(rows.status == NON_FINITE)),
            **notes,
        }
        write_manifest(chunk_record(self.path, chunk), CHUNK_KIND, **record)
        return record


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


class ChunkWriter:
    """Writes chunks in a thread of its own; at most two finished chunks wait in memory. Use as a context manager.

    An error while writing is raised in the computing thread, at its next `put` or at the end.
    """

    def __init__(self, store: GradientStore):
        self._store = store
        self._queue: queue.Queue = queue.Queue(maxsize=QUEUED_CHUNKS)
        self._error: BaseException | None = None
        self.records: dict[int, dict[str, Any]] = {}
        self._thread = threading.Thread(target=self._run, name="chunk-writer", daemon=True)

    def __enter__(self) -> "ChunkWriter":
        self._thread.start()
        return self

    def put(self, chunk: int, fingerprint: str, rows: GradientRows, **notes: Any) -> None:
        """Hands a finished chunk over; waits only while two others are waiting."""
        self._raise()
        self._queue.put((chunk, fingerprint, rows, notes))

    def __exit__(self, kind, error, trace) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is not None:
                continue
            chunk, fingerprint, rows, notes = item
            try:
                self.records[chunk] = self._store.write(chunk, fingerprint, rows, **notes)
            except BaseException as error:  # handed to the computing thread, which raises it
                self._error = error
