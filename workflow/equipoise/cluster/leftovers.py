"""Slurm jobs of a controller that died: found by their working directory and the name that snakemake gives all jobs of one run."""

import re
import shutil
import subprocess
import time
from pathlib import Path

from equipoise.errors import UserError
from equipoise.progress import log

RUN_NAME = re.compile(r"(?:[A-Za-z0-9_-]+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CANCELLING_TAKES_AT_MOST = 600.0


def cancel_leftovers(folder: Path, seconds_between_looks: float = 2.0) -> list[str]:
    """Cancels the Slurm jobs that a dead controller left in `folder`, waits until they are gone, and returns their ids.

    Only the owner of the folder's run may call this. Finished chunks of what is cancelled are kept: the stages go on from them.
    Raises `UserError` when a job does not end.
    """
    jobs = leftovers(folder)
    if not jobs:
        return []
    log(f"cancelling {len(jobs)} Slurm jobs of the last run, whose snakemake died: {' '.join(jobs)}")
    subprocess.run(["scancel", *jobs], check=False)
    patience = time.monotonic() + CANCELLING_TAKES_AT_MOST
    while left := sorted(set(leftovers(folder)) & set(jobs)):
        if time.monotonic() > patience:
            raise UserError(f"Slurm jobs {' '.join(left)} do not end; look at them with `squeue --me`, then run again")
        time.sleep(seconds_between_looks)
    return jobs


def leftovers(folder: Path) -> list[str]:
    """Ids of this user's Slurm jobs, in any state of the queue, that snakemake submitted from `folder`; none without Slurm.

    Raises `UserError` when Slurm does not answer in a folder that has used it: an unseen job could write beside a new one.
    """
    if shutil.which("squeue") is None:
        return []
    shown = subprocess.run(["squeue", "--me", "--noheader", "--format=%i|%j|%Z"], capture_output=True, text=True, check=False)
    if shown.returncode and not (folder / ".snakemake" / "slurm_logs").is_dir():
        return []
    if shown.returncode:
        raise UserError(f"squeue: {shown.stderr.strip() or 'no answer'}; jobs of the last run may still run: try again when Slurm answers")
    jobs = [line.split("|", 2) for line in shown.stdout.splitlines()]
    return [job for job, name, place in jobs if RUN_NAME.fullmatch(name) and _same(Path(place), folder)]


def _same(place: Path, folder: Path) -> bool:
    try:
        return place.samefile(folder)
    except OSError:
        return False
