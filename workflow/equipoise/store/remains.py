"""What the writers of zarr stores share: one at a time, the settings of their arrays, and the removal of what killed ones left."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.layout import CHUNK_ROWS
from equipoise.progress import log
from equipoise.store.lease import lease_beside

LOOKS_EVERY = 1.0  # seconds; creating or resizing a store takes far less


@contextmanager
def one_at_a_time(path: str | Path) -> Iterator[None]:
    """Only one job at a time creates, resizes or removes the store `path`: a lease, as other nodes may not see a file lock."""
    with lease_beside(Path(path), heartbeat=LOOKS_EVERY):
        yield


def array_settings(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """How a new array is created: chunks of 1,024 rows, uncompressed, with crc32c; what was never written reads as NaN or -1."""
    from zarr.codecs import BytesCodec, Crc32cCodec

    return {
        "shape": shape,
        "chunks": (CHUNK_ROWS, *shape[1:]),
        "dtype": dtype,
        "fill_value": -1 if dtype.startswith("int") else np.nan,
        "serializer": BytesCodec(endian=None if dtype == "int8" else "little"),
        "compressors": [Crc32cCodec()],
        "filters": None,
    }


def writable(path: Path, shape: tuple[int, ...], dtype: str) -> Any:
    """The array at `path`, made or resized to `shape`; it stores every chunk written, where zarr would leave out those equal to the fill.

    Where its zarr.json is not what `array_settings` makes, it is written anew; the chunks are known by what vouches for them.
    """
    import zarr

    remove_partial(path / "zarr.json")
    array = _opened(path, dtype)
    if array is None:
        (path / "zarr.json").unlink(missing_ok=True)
        array = zarr.create_array(str(path), **array_settings(shape, dtype))
    array = array.with_config({"write_empty_chunks": True})
    if array.shape != shape:
        array.resize(shape)
    return array


def _opened(path: Path, dtype: str) -> Any:
    """The array at `path` for writing; none where it is not one of these settings."""
    import zarr

    try:
        array = zarr.open_array(str(path), mode="r+")
        made = zarr.create_array(zarr.storage.MemoryStore(), **array_settings(array.shape, dtype))
        kept = ("shape", "chunk_grid", "chunk_key_encoding", "data_type", "fill_value", "codecs")
        found, wanted = (json.dumps([each.metadata.to_dict()[key] for key in kept], default=str) for each in (array, made))
    except (OSError, KeyError, ValueError, TypeError, AttributeError):
        return None
    return array if found == wanted else None


def remove_foreign(path: Path, attribute: str, expected: str, reason: str, *parts: Path) -> None:
    """Removes a store, and its `parts` beside it, unless its attribute is the expected one; to be called `one_at_a_time`."""
    import zarr

    for each in (*parts, path):
        remove_stale(each)
    if not path.exists():
        return
    try:
        held = zarr.open(str(path), mode="r").attrs.get(attribute)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        held = None
    if held != expected:
        log(f"{path}: {reason}; starting again from nothing")
        for each in (*parts, path):  # the store last: if this is cut off, it must still be recognised as foreign
            remove_store(each)


def remove_store(path: Path) -> None:
    """Removes a store, if it is there, so that no reader finds half of it; to be called `one_at_a_time`."""
    remove_stale(path)
    if path.exists():
        stale = path.with_name(f".{path.name}.{os.getpid()}.stale")
        os.replace(path, stale)
        shutil.rmtree(stale)


def remove_stale(path: Path) -> None:
    """Removes what is left of former stores of that name whose removal was cut off."""
    for stale in path.parent.glob(f".{path.name}.*.stale"):
        shutil.rmtree(stale)


def remove_partial(file: Path) -> None:
    """Removes what a killed write of `file` left: zarr writes `<name>.<uuid>.partial` and renames it. To be called by its one writer."""
    for partial in file.parent.glob(f"{file.stem}.*.partial"):
        partial.unlink(missing_ok=True)
