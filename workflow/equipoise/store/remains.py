"""What killed writers leave beside the files of a zarr store, and where stores are started anew."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equipoise.store.lease import LEASES, lease

LOOKS_EVERY = 1.0  # seconds; creating or resizing a store takes far less


@contextmanager
def one_at_a_time(path: str | Path) -> Iterator[None]:
    """Only one job at a time creates, resizes or removes the store `path`: a lease, as other nodes may not see a file lock."""
    path = Path(path)
    with lease(path.parent / LEASES / path.name, heartbeat=LOOKS_EVERY):
        yield


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
