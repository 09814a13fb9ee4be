"""GPUs of one machine shared out among its jobs: each takes free ones for its lifetime and sees no others.

Snakemake counts GPUs on a workstation (`resources: gpu`) but assigns none. A job locks one small file per device; the kernel drops the lock
when the job ends, however it ends. Under Slurm, which assigns devices itself, $EQUIPOISE_DEVICES is not set and nothing happens here.
"""

import fcntl
import itertools
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.errors import UserError
from equipoise.progress import log

if TYPE_CHECKING:
    from equipoise.config import Experiment

VARIABLE = "EQUIPOISE_DEVICES"
TRAINING = ("warm_up", "fine_tune", "fine_tune_and_evaluate", "retrain")
FORWARD = ("score_pool", "collect_pool_states", "collect_target_states")
COLLECTING = ("fit_curvature", "choose_dimension", "collect_pool_gradients", "collect_target_gradients")
ON_GPU = (*TRAINING, *COLLECTING, *FORWARD, "evaluate", "measure_one_step")
_held: list[int] = []


def offer_devices() -> list[str]:
    """Devices of this machine, left in $EQUIPOISE_DEVICES for the jobs: what it says already, else $CUDA_VISIBLE_DEVICES where that is
    set, else what nvidia-smi lists.

    Called by profiles/workstation as snakemake reads it.
    """
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = ",".join(_visible())
    return [device for device in os.environ[VARIABLE].split(",") if device]


def take_devices(config: "Experiment", stage: str) -> None:
    """Waits for as many free devices as the stage needs and shows this process only those (CUDA_VISIBLE_DEVICES) until it ends.

    Does nothing without $EQUIPOISE_DEVICES, for CPU stages and experiments, and in training processes, whose parent has taken them.
    Raises `UserError` when the stage needs more than are offered. Call before torch is imported.
    """
    offered = [device for device in os.environ.get(VARIABLE, "").split(",") if device]
    from equipoise.experiment import fitting_gpus

    if stage == "fit_curvature" and not fitting_gpus(config):
        return
    if not offered or stage not in ON_GPU or config.model.device == "cpu" or "WORLD_SIZE" in os.environ:
        return
    wanted = config.training.processes if stage in TRAINING else config.jobs.gpus
    if wanted > len(offered):
        key = "training.processes" if stage in TRAINING else "jobs.gpus"
        raise UserError(f"{stage} needs {wanted} GPUs ({key}), {VARIABLE} offers {','.join(offered)}")
    waiting = False
    while not (taken := _lock(offered, wanted)):
        if not waiting:
            log(f"{stage}: waiting for {wanted} of the GPUs {','.join(offered)}")
        waiting = True
        time.sleep(random.uniform(0.2, 1.0))  # two waiting jobs must not collide for ever
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)


def _lock(offered: list[str], wanted: int) -> list[str]:
    """Locks `wanted` devices, or none."""
    folder = Path(tempfile.gettempdir()) / f"equipoise-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    locks: dict[str, int] = {}
    for device in offered:
        descriptor = os.open(folder / device.replace("/", "_"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        locks[device] = descriptor
        if len(locks) == wanted:
            _held.extend(locks.values())
            return list(locks)
    for descriptor in locks.values():
        os.close(descriptor)
    return []


def _visible() -> list[str]:
    """What CUDA would show a program: the devices that the user names, up to the first that is none (-1), else all.

    All: as nvidia-smi lists them; none where it fails, which it says on standard output.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        words = [word.strip() for word in named.split(",")]
        return list(itertools.takewhile(lambda word: word and not word.startswith("-"), words))
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line.strip() for line in listed.stdout.splitlines() if line.strip().isdigit()] if listed.returncode == 0 else []
