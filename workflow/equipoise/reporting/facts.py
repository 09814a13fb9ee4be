"""Facts of an experiment at the end of the page: seeds, versions, measured time, disk."""

import csv
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from equipoise.config import Experiment

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


def disk(config: Experiment) -> dict[str, int]:
    """Bytes below each folder of the experiment's results (pool, targets, warmup, ...), report excluded."""
    root = Path(config.layout.root)
    folders = sorted(path for path in root.iterdir() if path.is_dir())
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
