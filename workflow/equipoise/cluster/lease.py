"""One writer at a time, on a shared file system and without a lock server.

A lease is a small file `<name>.<generation>` that its holder rewrites every few seconds with a rising number (the heartbeat), beside
what it is and where it runs. Who finds a lease watches it: while the number rises, the holder lives and one waits; when it stands still
for `PATIENCE` seconds by the watcher's own clock (clocks of hosts are never compared), or the holder ran on this host and its process is
gone, the lease is dead and the next generation may be created. Creating a file that must not exist is atomic on NFS, Lustre and the like,
so that of many only one succeeds. A holder that finds a later generation has been given up for dead (it was frozen, or cut off from the
file system): it ends its process before it writes anything more.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.progress import log

HEARTBEAT = 10.0
PATIENCE = 60.0
LEASES = ".leases"
LOST = 75  # EX_TEMPFAIL: try again


@dataclass(frozen=True)
class Claim:
    """What a lease says: who holds it, and the last heartbeat."""

    host: str
    place: str
    process: int
    started: str
    job: str
    beat: int

    @property
    def described(self) -> str:
        return f"job {self.job} on {self.host}" if self.job else f"process {self.process} on {self.host}"


@contextmanager
def lease(path: str | Path, heartbeat: float = HEARTBEAT, patience: float = PATIENCE) -> Iterator[None]:
    """Holds the lease `path` (its folder is made) while the block runs; waits for a living holder, replaces a dead one.

    heartbeat: seconds between two signs of life; patience: seconds without one after which another host's holder counts as dead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    generation = _acquire(path, heartbeat, patience)
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(path, generation, heartbeat, ended), name=f"lease {path.name}", daemon=True)
    beats.start()
    try:
        yield
    finally:
        ended.set()
        beats.join()
        _file(path, generation).unlink(missing_ok=True)


@contextmanager
def one_writer(*manifests: str) -> Iterator[None]:
    """Holds the leases of everything that `manifests` vouch for: a job of a dead controller may still be writing it.

    Training processes (torchrun) are covered by the process that started them.
    """
    with ExitStack() as held:
        if "WORLD_SIZE" not in os.environ:
            for manifest in sorted(map(Path, manifests)):  # one order for all jobs, so that none waits for the other in a circle
                held.enter_context(lease(manifest.parent / LEASES / manifest.name))
        yield


def generations(path: Path) -> list[int]:
    """Generations of a lease that exist, rising; one is held, more than one only for a moment."""
    prefix = f"{path.name}."
    with os.scandir(path.parent) as entries:
        endings = [entry.name[len(prefix) :] for entry in entries if entry.name.startswith(prefix)]
    return sorted(int(ending) for ending in endings if ending.isdigit())


def read_claim(path: Path, generation: int) -> Claim | None:
    """What a generation says; None while its holder has not yet written, or when it is gone."""
    try:
        return Claim(**json.loads(_file(path, generation).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_gone(claim: Claim) -> bool:
    """Whether the holder ran in this place and its process has ended (its number may have been given to another)."""
    return bool(claim.place) and claim.place == _place() and _started(claim.process) != claim.started


def _acquire(path: Path, heartbeat: float, patience: float) -> int:
    waited_for: Claim | None = None
    while True:
        found = generations(path)
        latest = found[-1] if found else 0
        if found and not _is_dead(path, latest, heartbeat, patience):
            claim = read_claim(path, latest)
            if claim and (waited_for is None or claim.process != waited_for.process):
                log(f"{path}: {claim.described} is writing here; waiting until it ends")
                waited_for = claim
            time.sleep(heartbeat / 2)
            continue
        if _create(path, latest + 1, found):
            if found:
                log(f"{path}: the last writer died; going on from what it finished")
            return latest + 1
        time.sleep(heartbeat * (0.1 + os.getpid() % 7 / 10))


def _is_dead(path: Path, generation: int, heartbeat: float, patience: float) -> bool:
    """Watches a lease until it moves (alive) or has stood still for long enough (dead)."""
    first, since = read_claim(path, generation), time.monotonic()
    while first is None or not is_gone(first):
        if not _file(path, generation).exists():
            return False
        if time.monotonic() - since >= patience:
            return True
        time.sleep(heartbeat / 2)
        now = read_claim(path, generation)
        if now is not None and (first is None or now.beat != first.beat):
            return is_gone(now)
    return True


def _create(path: Path, generation: int, dead: list[int]) -> bool:
    """Creates a generation; gives it back when another one that is not known to be dead came into being meanwhile."""
    try:
        os.close(os.open(_file(path, generation), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    if set(generations(path)) - set(dead) != {generation}:
        _file(path, generation).unlink(missing_ok=True)
        return False
    _write(path, generation, 0)
    for old in dead:
        _file(path, old).unlink(missing_ok=True)
    return True


def _beat(path: Path, generation: int, heartbeat: float, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(heartbeat):
        beat += 1
        held = generations(path)
        if not held or held[-1] != generation:
            log(f"{path}: this job stood still for so long that another one took over; ending")
            sys.stderr.flush()
            os._exit(LOST)
        _write(path, generation, beat)


def _write(path: Path, generation: int, beat: int) -> None:
    content: dict[str, Any] = {
        "host": socket.gethostname(),
        "place": _place(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "beat": beat,
    }
    part = path.with_name(f".{path.name}.{generation}.{os.getpid()}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, _file(path, generation))


def _file(path: Path, generation: int) -> Path:
    return path.with_name(f"{path.name}.{generation}")


def _place() -> str:
    """Where process numbers mean the same processes: this boot of this kernel, this container; empty without /proc."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(process: int) -> str:
    """Start time of a process of this host in clock ticks since boot; empty when there is none (or no /proc)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
