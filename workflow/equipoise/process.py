"""How a stage's process is set up: threads, allocator, offline mode, several training processes."""

import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from equipoise.errors import UserError

if TYPE_CHECKING:
    from equipoise.config import Experiment

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
PR_SET_PDEATHSIG = 1
CONTINUED = "EQUIPOISE_CONTINUED_IN"
DETERMINISTIC = "EQUIPOISE_DETERMINISTIC"
"""`model.deterministic`, for what sets torch up (modelling/device.py)."""
QUIET = {
    **dict.fromkeys(("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY"), "error"),
    **dict.fromkeys(("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"), "1"),
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
TOKENISES = "prepare_pool"  # the stage whose tokenizer may take all its threads: it starts no process, which would forbid that


def stage_threads(config: "Experiment", stage: str) -> int:
    """CPU threads of a stage: `jobs.threads` by its name, else `default`, else 1."""
    return config.jobs.threads.get(stage, config.jobs.threads.get("default", 1))


def refuse_missing_reporters(config: "Experiment") -> None:
    """Raises `UserError` when what `training.report_to` names is not installed for this interpreter, before hours of training."""
    for name in config.training.report_to:
        try:
            version(name)  # not whether it imports: a folder ./wandb of earlier runs does
        except PackageNotFoundError:
            advice = f"run pip install {name} there, or leave it out"
            raise UserError(f"training.report_to: {name} is not installed in {sys.prefix}; {advice}") from None


def prepare_process(config: "Experiment", stage: str) -> None:
    """Fixes thread counts (so that bytes do not depend on `--cores`) and keeps freed memory. Call before numpy or torch is imported."""
    silence_libraries()
    threads = str(stage_threads(config, stage))
    for variable in THREAD_VARIABLES:
        os.environ[variable] = threads
    os.environ.setdefault("TOKENIZERS_PARALLELISM", str(stage == TOKENISES and threads != "1").lower())
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():
        # batches of ever other shapes leave gaps in fixed segments, which end as out-of-memory with gigabytes free
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    if config.model.deterministic:
        os.environ |= {DETERMINISTIC: "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it cuBLAS may sum in another order
    if "WORLD_SIZE" in os.environ:
        die_with_parent()
    keep_freed_memory()


def silence_libraries() -> None:
    """Keeps what libraries say to each other out of the user's log: a user can do nothing about it. Their errors stay, and our warnings.

    Call before they are imported: they read these variables then. A user who has set one of them gets what it says.
    """
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"equipoise($|\.)")
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on some CPUs it misses kernels that nothing here uses


def die_with_parent() -> None:
    """Lets the kernel kill this process when the one that started it dies: torchrun's have sessions of their own, out of a kill's reach.

    Left alive, they would go on writing into a training that has been started again.
    """
    try:
        ctypes.CDLL("libc.so.6").prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return  # no Linux: the launcher's own clean-up has to do


def keep_freed_memory() -> None:
    """Makes glibc keep freed buffers for the next step's activations: getting the pages again makes a step up to four times as long."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return  # another C library: slower, not wrong


def first_process() -> bool:
    """Whether this is the process that writes: the only one, or the first of several training processes."""
    return os.environ.get("RANK", "0") == "0"


def continue_in(python: str | None, arguments: list[str]) -> None:
    """Replaces this process by `python -m equipoise ARGUMENTS`, unless there is no other interpreter or this process already runs in it.

    Raises `UserError` when the interpreter cannot be started.
    """
    if python is None or os.environ.get(CONTINUED) == python:
        return
    path = shutil.which(python)
    if path is None:
        raise UserError(f"{python}: no such interpreter; write the path of a Python that has equipoise installed")
    os.execve(path, [path, "-m", "equipoise", *arguments], os.environ | {CONTINUED: python})


def distributed(processes: int, arguments: list[str], before: Callable[[], None]) -> bool:
    """Runs `equipoise ARGUMENTS` as `processes` training processes and says whether it did (not when one is enough, nor inside one).

    before: what is done once for all of them, before they start.

    When this process is killed, its launcher dies with it and the training processes with that. Raises `SystemExit` with their status
    when they fail.
    """
    if processes == 1 or "WORLD_SIZE" in os.environ:
        return False
    before()
    launcher = [sys.executable, "-m", "equipoise.training.launch", "--standalone", f"--nproc-per-node={processes}", "-m", "equipoise"]
    status = subprocess.run([*launcher, *arguments], check=False).returncode
    if status:
        raise SystemExit(status)
    return True
