"""Facts of an experiment at the end of the page: seeds, versions, measured time, disk."""

import csv
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from equipoise.config import Experiment
from equipoise.shipped import ROOT

COMPUTING = ("equipoise", "torch", "transformers", "peft", "lm-eval", "datasets", "numpy", "zarr", "pyarrow")
DRAWING = ("snakemake", "matplotlib", "itables")


def versions() -> dict[str, str]:
    """Versions of what computed or draws this report, as installed where the report runs."""
    known = {"python": platform.python_version()}
    for package in (*COMPUTING, *DRAWING):
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            known[package] = "not installed"
    return known


def made(config: Experiment, partial: bool = False) -> dict[str, str]:
    """When, from which commit, on which machine and by which command this report was made, and the command that makes it again.

    The date is that of SOURCE_DATE_EPOCH where the environment sets it.
    """
    moment = datetime.fromtimestamp(float(os.environ["SOURCE_DATE_EPOCH"]), UTC) if "SOURCE_DATE_EPOCH" in os.environ else datetime.now(UTC)
    return {
        "date": f"{moment:%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "command": " ".join(["equipoise", *sys.argv[1:]]) if Path(sys.argv[0]).stem in ("equipoise", "__main__") else "made by a program",
        "again": f"equipoise report --config {config.layout.config} --partial"
        if partial
        else f"snakemake --configfile {config.layout.config} --cores all --forcerun report",
        "results": config.layout.root,
    }


def _commit() -> str:
    """The commit that the program's checkout stands at; its version where it is no checkout. Read from git's files: no git is needed."""
    folder = ROOT / ".git"
    try:
        if folder.is_file():  # of a worktree
            folder = Path(folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        shared = folder / "commondir"
        places = [folder, folder / shared.read_text(encoding="utf-8").strip()] if shared.exists() else [folder]
        name = head.removeprefix("ref: ")
        if name == head:
            return head[:12]
        for place in places:
            if (place / name).exists():
                return (place / name).read_text(encoding="utf-8").strip()[:12]
        packed = (places[-1] / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next(line.split()[0] for line in packed if line.endswith(f" {name}"))[:12]
    except (OSError, StopIteration):
        return f"none: equipoise {version('equipoise')} is no checkout"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def disk(config: Experiment) -> dict[str, int]:
    """Bytes below each folder of the experiment's results (pool, targets, warmup, ...), report excluded."""
    root = Path(config.layout.root)
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    return {folder.name: folder_bytes(folder) for folder in folders}


def folder_bytes(folder: str | Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def times(config: Experiment, folder: Path) -> pd.DataFrame:
    """Per rule: jobs, seconds in total, longest job, largest resident memory in MiB, from the workflow's benchmark files."""
    rows = []
    for rule in sorted(folder.glob("*")):
        jobs = [measured_job(path) for path in sorted((rule / config.experiment / config.model.name).rglob("*.tsv"))]
        if jobs:
            seconds, memory = [job[0] for job in jobs], [job[1] for job in jobs]
            rows.append({"rule": rule.name, "jobs": len(jobs), "seconds": sum(seconds), "longest": max(seconds), "memory_mib": max(memory)})
    return pd.DataFrame(rows, columns=["rule", "jobs", "seconds", "longest", "memory_mib"])


def measured_job(path: Path) -> tuple[float, float]:
    """Seconds and peak resident MiB of a Snakemake benchmark file; memory is nan for jobs too short to be sampled."""
    with path.open(encoding="utf-8") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    memory = row.get("max_rss", "")
    return float(row["s"]), float(memory) if memory not in ("", "-", "NA") else float("nan")
