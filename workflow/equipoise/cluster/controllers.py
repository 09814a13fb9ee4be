"""Snakemakes that control a run in a folder: each holds a lease of its own there, which shows on any host that it lives.

Each has its own, as several may work in one folder on different targets (Snakemake locks files, not folders); `equipoise run`, which
cancels and unlocks, must be alone. Its patience is longer than that of stores: a heartbeat may be seen late on a network file system,
and a run taken for dead loses its jobs.
"""

import atexit
import os
import time
import uuid
from pathlib import Path

from equipoise.errors import UserError
from equipoise.progress import log
from equipoise.store.lease import HEARTBEAT, LEASES, Claim, claim_file, is_gone, is_here, keep, read_claim, write_claim

PATIENCE = 120.0
PREFIX = "controller-"
_held: dict[Path, Path] = {}  # this process's lease by folder


def hold_controller(folder: str | Path = ".") -> None:
    """Shows, until this process ends, that it controls a run in `folder`; further calls change nothing.

    Raises `UserError` when the lease cannot be written.
    """
    folder = Path(folder).resolve()
    if folder in _held:
        return
    path = leases_of(folder) / f"{PREFIX}{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_claim(path, 1, 0)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); a run needs to write to its folder") from None
    _held[folder] = path
    owner, release = os.getpid(), keep(path, 1, HEARTBEAT, PATIENCE)
    atexit.register(lambda: release() if os.getpid() == owner else None)  # a forked child has no heartbeat to end


def living_controller(folder: str | Path, heartbeat: float = HEARTBEAT, patience: float = PATIENCE) -> Claim | None:
    """Another process that controls a run in `folder`, else None; leases of dead ones are removed.

    For one of this host this is known at once; for one of another host it waits for a heartbeat, at most `patience` seconds.
    """
    watched = {path: read_claim(path, 1) for path in _leases(Path(folder))}
    if any(claim and not is_here(claim) for claim in watched.values()):
        log("checking whether a run that another host began here is alive")
    since = time.monotonic()
    while watched:
        for path, first in list(watched.items()):
            now = read_claim(path, 1)
            if now is not None and (not is_gone(now) if is_here(now) else first is None or now.beat != first.beat):
                return now
            released = not claim_file(path, 1).exists()
            if released or (now is not None and is_gone(now)) or time.monotonic() - since >= patience:
                del watched[path]
                if not released and read_claim(path, 1) == now:
                    claim_file(path, 1).unlink(missing_ok=True)
        if watched:
            time.sleep(min(heartbeat, patience) / 4)
    return None


def leases_of(folder: Path) -> Path:
    """Where the leases of those who run snakemake in `folder` lie."""
    return folder / ".snakemake" / LEASES


def _leases(folder: Path) -> list[Path]:
    """Leases of controllers in `folder` that this process does not hold."""
    files = leases_of(folder.resolve()).glob(f"{PREFIX}*.1")
    return sorted({file.with_suffix("") for file in files} - set(_held.values()))
