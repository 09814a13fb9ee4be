"""Starts snakemake so that one command serves the first run and every rerun, also after a kill.

A killed snakemake leaves its Slurm jobs running and its working directory locked. `own_run` takes a file lock that the kernel drops
when its holder dies, so that jobs and lock are known to be stale, and removed, only when nobody alive owns the run.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from equipoise.cluster.leftovers import cancel_leftovers
from equipoise.errors import UserError

OWNER = Path(".snakemake") / "equipoise-owner"
DRY_RUN = re.compile(r"--dry-?run|-[a-zA-Z]*n[a-zA-Z]*")
LOCKS = Path(".snakemake") / "locks"


def run_snakemake(arguments: list[str]) -> None:
    """Replaces this process by `snakemake ARGUMENTS`, after cancelling the Slurm jobs of a dead one and removing its lock.

    Raises `UserError` when a live snakemake owns this directory.
    """
    snakemake = [sys.executable, "-m", "snakemake"]
    if any(DRY_RUN.fullmatch(argument) for argument in arguments):  # takes no lock and needs none
        os.execv(sys.executable, [*snakemake, *arguments])
    own_run()
    cancel_leftovers(Path.cwd())
    if LOCKS.is_dir() and any(LOCKS.iterdir()):
        print("the last run was cut off; removing its lock and going on from what it finished", file=sys.stderr, flush=True)
        subprocess.run([*snakemake, *arguments, "--unlock", "--quiet", "all"], check=True)
    os.execv(sys.executable, [*snakemake, *arguments])


def own_run() -> int:
    """Takes ownership of this directory's run for the life of this process (and of what it execs); returns the lock's descriptor.

    Raises `UserError` naming the owner when somebody alive holds it.
    """
    OWNER.parent.mkdir(exist_ok=True)
    descriptor = os.open(OWNER, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = OWNER.read_text(encoding="utf-8").strip() or "another process"
        raise UserError(f"{Path.cwd()}: a run is going on here ({owner}); wait for it, or stop it first") from None
    others = live_snakemakes()
    if others:
        raise UserError(f"{Path.cwd()}: snakemake runs here (process {others[0]}); wait for it, or stop it first")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode(), 0)
    os.set_inheritable(descriptor, True)
    return descriptor


def live_snakemakes() -> list[int]:
    """Processes of this host, other than this one, that control a run in this directory (not the jobs of one)."""
    here, found = os.stat("."), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            same_place = os.path.samestat(os.stat(entry / "cwd"), here)
        except OSError:
            continue  # gone meanwhile, or somebody else's
        if (
            same_place
            and int(entry.name) != os.getpid()
            and b"--target-jobs" not in words
            and any(_is_snakemake(words[i : i + 2]) for i in range(3))
        ):
            found.append(int(entry.name))
    return sorted(found)


def _is_snakemake(words: list[bytes]) -> bool:
    return words == [b"-m", b"snakemake"] or (bool(words) and Path(os.fsdecode(words[0])).name == "snakemake")
