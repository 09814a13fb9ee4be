"""`equipoise doctor`: what this machine has for an experiment, and for what is missing its remedy."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OK, MISSING, BROKEN = "ok", "missing", "broken"
"""Missing: some experiments need it. Broken: nothing of the pipeline works without it."""
ROOM = 10e9  # bytes; SmolLM2-135M with a pool of 5,000 rows takes about 2 GB


@dataclass(frozen=True)
class Finding:
    """One thing looked at. state: ok, missing or broken; said: what is there; remedy: what to do, empty where it is ok."""

    what: str
    state: str
    said: str
    remedy: str = ""


def findings(folder: Path) -> list[Finding]:
    """Everything looked at, in the order in which it matters. folder: where results will lie."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _torch,
        _gpu,
        lambda: _disk(folder),
        _memory,
        _slurm,
        _hub,
        _sandbox,
    )
    return [finding for look in looks for finding in look()]


def _python() -> Iterator[Finding]:
    said = f"{platform.python_version()} ({sys.executable})"
    right = sys.version_info >= (3, 11)
    yield Finding("Python", OK if right else BROKEN, said, "" if right else "install Python 3.11 or newer")


def _packages() -> Iterator[Finding]:
    for extra, packages in {
        "pipeline": ("torch", "transformers", "peft", "snakemake", "lm_eval"),
        "report": ("matplotlib", "jinja2"),
    }.items():
        lacking = [name for name in packages if not _installed(name)]
        known = ", ".join(f"{name} {version(name)}" for name in packages if name not in lacking)
        state = OK if not lacking else BROKEN if extra == "pipeline" else MISSING
        yield Finding(
            extra, state, known or "none", f"pip install 'equipoise[pipeline,report]' (lacks {', '.join(lacking)})" if lacking else ""
        )


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", BROKEN, f"{type(error).__name__}: {error}", "reinstall torch for this machine (pytorch.org, Get started)")
        return
    kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    yield Finding("torch", OK, f"{torch.__version__}, {kind}, {torch.get_num_threads()} threads of {os.cpu_count()} processors")


def _gpu() -> Iterator[Finding]:
    driver = _first_line(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    try:
        import torch

        seen = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        built = torch.version.cuda
    except (ImportError, OSError):
        seen, built = [], None
    if driver is None:
        yield Finding("driver", MISSING, "no NVIDIA driver", "none needed on a CPU (model.device: cpu); else install NVIDIA's driver")
    else:
        yield Finding("driver", OK, f"NVIDIA {driver}")
    if seen:
        yield Finding("GPU", OK, "; ".join(f"{each.name}, {each.total_memory / 1e9:.0f} GB" for each in seen))
    elif driver is None:
        yield Finding("GPU", MISSING, "none", "bases up to some 200 M parameters train on a CPU; larger ones need a GPU")
    else:
        cure = "install a torch that is built for this driver" if built else "install a torch that is built for CUDA (pytorch.org)"
        yield Finding("GPU", MISSING, "the driver is there, but torch sees no GPU", f"{cure}; CUDA_VISIBLE_DEVICES must not hide them")


def _disk(folder: Path) -> Iterator[Finding]:
    place = next((each for each in (folder, *folder.resolve().parents) if each.is_dir()), Path("/"))
    free = shutil.disk_usage(place).free
    remedy = "" if free >= ROOM else "free some, or write results: on a larger disk; `equipoise plan my.yaml` tells what is needed"
    yield Finding("disk", OK if free >= ROOM else MISSING, f"{free / 1e9:,.0f} GB free at {place}", remedy)
    writable = os.access(place, os.W_OK)
    yield Finding(
        "results", OK if writable else BROKEN, str(folder), "" if writable else f"{place} cannot be written; choose another results:"
    )


def _memory() -> Iterator[Finding]:
    with suppress(ValueError, OSError):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        small = size < 6e9
        yield Finding(
            "memory", MISSING if small else OK, f"{size / 1e9:.0f} GB", "run with --cores 1: a job takes 1 to 4 GB" if small else ""
        )


def _slurm() -> Iterator[Finding]:
    told = _first_line(["sinfo", "--version"])
    if told is None:
        yield Finding("Slurm", MISSING, "no sinfo here", "none needed on one machine; on a cluster type this on its login node")
        return
    plugin = _installed("snakemake-executor-plugin-slurm")
    yield Finding("Slurm", OK if plugin else MISSING, told, "" if plugin else "pip install 'equipoise[pipeline,slurm]'")


def _hub() -> Iterator[Finding]:
    if os.environ.get("HF_HUB_OFFLINE"):
        yield Finding("hub", MISSING, "HF_HUB_OFFLINE is set", "unset it for `equipoise fetch`; folders and files of your own need no hub")
        return
    from urllib.error import HTTPError
    from urllib.request import urlopen

    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urlopen(f"{address}/api/models?limit=1", timeout=5):
            yield Finding("hub", OK, f"{address} answers")
    except HTTPError as error:
        yield Finding("hub", OK, f"{address} answers (status {error.code})")
    except (OSError, ValueError) as error:
        cure = "`equipoise fetch` where there is internet, with HF_HOME on a shared disk; folders and files of your own need no hub"
        yield Finding("hub", MISSING, f"{address}: {getattr(error, 'reason', error)}", cure)


def _sandbox() -> Iterator[Finding]:
    """Whether programs that models write can be confined (HumanEval and MBPP alone)."""
    from equipoise.config import Sandbox
    from equipoise.errors import UserError
    from equipoise.evaluation.sandbox import check_sandbox

    try:
        within = check_sandbox(Sandbox(mode="auto"))
    except UserError as error:
        yield Finding("sandbox", MISSING, str(error), "only HumanEval and MBPP need it, measured by accuracy; see sandbox.mode")
        return
    yield Finding("sandbox", OK, f"programs can be confined by {within['mode']} ({within['version']})")


def _first_line(command: list[str]) -> str | None:
    """What a program says first; None where it is not here or fails."""
    if shutil.which(command[0]) is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()[0].strip()
    return None


def as_table(found: list[Finding]) -> object:
    """The findings for a terminal."""
    from rich.table import Table
    from rich.text import Text

    looks = {OK: "green", MISSING: "yellow", BROKEN: "bold red"}
    table = Table("", "", "found", "remedy")
    for each in found:
        table.add_row(each.what, Text(each.state, style=looks[each.state]), Text(each.said), Text(each.remedy))
    return table
