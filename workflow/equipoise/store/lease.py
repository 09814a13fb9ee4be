"""One writer at a time, on a shared file system and without a lock server.

A lease is a small file `<name>.<generation>` that its holder rewrites every few seconds with a rising number (the heartbeat), beside
what it is and where it runs. Whoever finds a lease watches it: while the number rises, the holder lives and the finder waits. When the
number stands still for `PATIENCE` seconds by the finder's own clock (clocks of hosts are never compared), or when the holder ran on this
host and its process is gone, the lease is dead and the next generation may be created. Creating a file that must not exist is atomic on
NFS, Lustre and the like, so that only one of many succeeds. A holder that finds a later generation was taken for dead (it was frozen): it
ends its process at its next heartbeat, so that after it wakes two may write for at most that long. A holder that cannot write its heartbeat
(full disk, stale file handle) tries again and ends its process just before others may take over.
"""

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from equipoise.progress import log

HEARTBEAT = 10.0
PATIENCE = 60.0
LEASES = ".leases"
LOST = 75  # EX_TEMPFAIL: try again
GONE = (errno.ENOENT, errno.ESTALE)
"""Errors of a folder that another process has just taken away: of this host, and of another one."""
ATTEMPTS = 100
"""Times that a folder is made again which others take away, until it counts as impossible."""


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
    generation = _acquire(path, heartbeat, patience)
    release = keep(path, generation, heartbeat, patience)
    try:
        yield
    finally:
        release()


def keep(path: Path, generation: int, heartbeat: float, patience: float) -> Callable[[], None]:
    """Rewrites a generation that this process has created until the function returned here is called, which removes it.

    Ends the process (status `LOST`) when somebody took over, or when no heartbeat could be written for nearly `patience` seconds.
    """
    ended = threading.Event()
    beats = threading.Thread(target=_beat, args=(path, generation, heartbeat, patience, ended), name=f"lease {path.name}", daemon=True)
    beats.start()

    def release() -> None:
        ended.set()
        beats.join()
        claim_file(path, generation).unlink(missing_ok=True)

    return release


@contextmanager
def lease_beside(path: Path, heartbeat: float = HEARTBEAT) -> Iterator[None]:
    """Holds the lease of the file or folder `path`, which lies beside it; the last holder takes away the folders that are empty again."""
    folder = path.parent / LEASES
    absent = [each for each in folder.parents if not each.exists()]
    try:
        with lease(folder / path.name, heartbeat):
            yield
    finally:
        with suppress(OSError):  # something lies there by now
            for each in (folder, *absent):
                each.rmdir()


@contextmanager
def one_writer(*manifests: str) -> Iterator[None]:
    """Holds the leases of everything that `manifests` vouch for: a job of a dead controller may still be writing it.

    Training processes (torchrun) are covered by the process that started them.
    """
    with ExitStack() as held:
        if "WORLD_SIZE" not in os.environ:
            for manifest in sorted(map(Path, manifests)):  # one order for all jobs, so that none waits for the other in a circle
                held.enter_context(lease_beside(manifest))
        yield


def generations(path: Path) -> list[int]:
    """Generations of a lease that exist, rising; one is held, more than one only for a moment."""
    prefix = f"{path.name}."
    with os.scandir(path.parent) as entries:
        endings = [entry.name[len(prefix) :] for entry in entries if entry.name.startswith(prefix)]
    return sorted(int(ending) for ending in endings if ending.isdigit())


def read_claim(path: Path, generation: int) -> Claim | None:
    """What a generation says; None while its holder has not yet written, or when it is gone."""
    return _parsed(_text(path, generation))


def is_gone(claim: Claim) -> bool:
    """Whether the holder ran in this place and its process has ended (its number may have been given to another)."""
    return is_here(claim) and _started(claim.process) != claim.started


def is_here(claim: Claim) -> bool:
    """Whether the holder's process would be seen from this one."""
    return bool(claim.place) and claim.place == _place()


def _acquire(path: Path, heartbeat: float, patience: float) -> int:
    waited_for: Claim | None = None
    while True:
        existing = _existing(path)
        judged = {generation: _text(path, generation) for generation in existing[:-1]}  # superseded ones are dead
        if existing and (dead := _watch(path, existing[-1], heartbeat, patience)) is None:
            claim = read_claim(path, existing[-1])
            if claim and (waited_for is None or claim.process != waited_for.process):
                log(f"{path}: {claim.described} is writing here; waiting until it ends")
                waited_for = claim
            time.sleep(heartbeat / 2)
            continue
        if existing:
            judged[existing[-1]] = dead
        generation = existing[-1] + 1 if existing else 1
        if _create(path, generation, judged):
            if existing:
                log(f"{path}: the last writer died; going on from what it finished")
            return generation
        time.sleep(heartbeat * (0.1 + os.getpid() % 7 / 10))


def _existing(path: Path) -> list[int]:
    """Generations that exist, in a folder that is made where there is none, or none any more."""
    for attempt in range(ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return generations(path)
        except OSError as error:
            if error.errno not in GONE or attempt == ATTEMPTS - 1:
                raise
    return []


def _watch(path: Path, generation: int, heartbeat: float, patience: float) -> str | None:
    """Watches a lease until it moves or is released (None), or is known to be dead: then what it said last."""
    first, since = _text(path, generation), time.monotonic()
    while (now := _text(path, generation)) is not None and now == first:
        claim = _parsed(now)
        if claim is not None and is_gone(claim):  # read again: it may have been released just before its process ended
            return now if _text(path, generation) == now else None
        if time.monotonic() - since >= patience:
            return now
        time.sleep(heartbeat / 2)
    return None


def _create(path: Path, generation: int, dead: dict[int, str | None]) -> bool:
    """Creates a generation; gives it back when another one than the dead came into being meanwhile, or one of them was not dead.

    dead: what each of them said when it was given up; one that says something else, or is gone, has moved or was released since.
    """
    try:
        os.close(os.open(claim_file(path, generation), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False
    if set(generations(path)) != {generation, *dead} or any(_text(path, old) != said for old, said in dead.items()):
        claim_file(path, generation).unlink(missing_ok=True)
        return False
    try:
        write_claim(path, generation, 0)
    except OSError:  # an empty claim would be waited for
        claim_file(path, generation).unlink(missing_ok=True)
        raise
    for old in dead:
        claim_file(path, old).unlink(missing_ok=True)
    return True


def _beat(path: Path, generation: int, heartbeat: float, patience: float, ended: threading.Event) -> None:
    beat, last = 0, time.monotonic()
    while not ended.wait(heartbeat):
        beat += 1
        try:
            held = generations(path)
            if not held or held[-1] != generation:
                _end(f"{path}: this process stood still for so long that another one took over; ending")
            write_claim(path, generation, beat)
            last = time.monotonic()
        except OSError as error:
            silent = time.monotonic() - last
            if silent >= patience - heartbeat:
                _end(f"{path}: no heartbeat could be written for {silent:.0f} s ({error}); ending before another process takes over")


def _end(message: str) -> None:
    with suppress(OSError):
        log(message)
    os._exit(LOST)


def claim_here(beat: int = 0) -> Claim:
    """What this process says of itself."""
    return Claim(socket.gethostname(), _place(), os.getpid(), _started(os.getpid()), os.environ.get("SLURM_JOB_ID", ""), beat)


def write_claim(path: Path, generation: int, beat: int) -> None:
    """Writes, atomically, that this process holds the generation."""
    part = path.with_name(f".{path.name}.{generation}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(asdict(claim_here(beat))), encoding="utf-8")
        os.replace(part, claim_file(path, generation))
    finally:
        part.unlink(missing_ok=True)


def claim_file(path: Path, generation: int) -> Path:
    """The file of a generation."""
    return path.with_name(f"{path.name}.{generation}")


def _text(path: Path, generation: int) -> str | None:
    """What the file of a generation holds; None when there is none (or, on NFS, no longer that one)."""
    try:
        return claim_file(path, generation).read_text(encoding="utf-8")
    except OSError:
        return None


def _parsed(text: str | None) -> Claim | None:
    try:
        return Claim(**json.loads(text or ""))
    except (ValueError, TypeError):
        return None


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
