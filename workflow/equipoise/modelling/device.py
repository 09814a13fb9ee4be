"""The device a stage computes on: that it is the one it was given, what it is, and torch's settings for it."""

import os
from functools import cache
from typing import TYPE_CHECKING

from equipoise.errors import UserError
from equipoise.process import DETERMINISTIC
from equipoise.progress import log

if TYPE_CHECKING:
    import torch

ASKED = "EQUIPOISE_GPUS"
"""How many GPUs the rule of this stage asked for; set by the rules."""
ON_CLUSTER = "EQUIPOISE_ON_CLUSTER"
"""Set where a cluster runs the job, and so gave it what its rule asked for; set by common.smk."""
TAKEN = "EQUIPOISE_DEVICES"
"""GPUs of a workstation that are shared out among its jobs (cluster/devices.py)."""
STAND_IN = "EQUIPOISE_STAND_IN_GPUS"
"""Set by hand where GPUs are only names, as in the tests of Slurm: the stages then compute on the CPU, and say so."""


def prepared(device: "torch.device", cpu_is_meant: bool = False) -> "torch.device":
    """`device`, made ready and logged once per process. Raises `UserError` when the stage was given GPUs and torch sees fewer, unless the
    configuration itself says cpu."""
    import torch

    if not cpu_is_meant:
        refuse_missing_gpus(device.type, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if device.type == "cuda":
        # cuDNN's attention is reported to give NaN in backward with explicit masks on H100 and H200 (pytorch issue 196678)
        torch.backends.cuda.enable_cudnn_sdp(False)
    if os.environ.get(DETERMINISTIC):
        torch.use_deterministic_algorithms(True)  # not `warn_only`, with which attention's backward pass stays as it is
    _log_once(str(device))
    return device


def given_gpus() -> int:
    """GPUs that the stage was given: what its rule asked for, where a cluster or a workstation that shares its GPUs out runs it."""
    asked = int(os.environ.get(ASKED) or 0)
    return asked if os.environ.get(ON_CLUSTER) or os.environ.get(TAKEN) else 0


def refuse_missing_gpus(kind: str, seen: int) -> None:
    """Raises `UserError` when the stage was given GPUs and would compute on a CPU (`kind`), or torch sees fewer.

    Days on one core are no substitute. With $EQUIPOISE_STAND_IN_GPUS it goes on and says so.
    """
    given = given_gpus()
    if given <= seen and (given == 0 or kind == "cuda"):
        return
    if os.environ.get(STAND_IN):
        log(f"{STAND_IN} is set: given {given} GPUs, computing on the {kind}")
        return
    import torch

    wheel = f"torch {torch.__version__}, " + (f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    raise UserError(
        f"given {given} GPUs, but torch sees {seen} ({wheel}; CUDA_VISIBLE_DEVICES {'is not set' if visible is None else repr(visible)}; "
        f"driver {_driver()}); install a torch for this driver, or write model.device: cpu"
    )


def _driver() -> str:
    """Version of the NVIDIA driver as the kernel module says it."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            words = file.readline().split()
    except OSError:
        return "not loaded"
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


@cache
def _log_once(device: str) -> None:
    import torch

    kind = torch.device(device)
    if kind.type == "cuda":
        held = torch.cuda.get_device_properties(kind)
        what = f"{held.name}, {held.total_memory / 1e9:.0f} GB, driver {_driver()}, CUDA {torch.version.cuda}"
    else:
        what = f"{torch.get_num_threads()} threads, {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB"
    mode = ", deterministic algorithms" if torch.are_deterministic_algorithms_enabled() else ""
    log(f"device {device}: {what}, torch {torch.__version__}{mode}")
