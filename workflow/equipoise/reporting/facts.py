"""Facts of an experiment: seeds, versions, measured time, disk, and the cost table (the paper's A.6)."""

import csv
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path

import pandas as pd

from equipoise.config import Experiment
from equipoise.experiment import selection_seeds
from equipoise.reporting.labels import long_label
from equipoise.reporting.tables import Column, Table
from equipoise.store.manifest import read_manifest

PACKAGES = (
    "equipoise",
    "torch",
    "transformers",
    "peft",
    "lm-eval",
    "datasets",
    "numpy",
    "zarr",
    "pyarrow",
    "snakemake",
    "matplotlib",
    "itables",
)
SIZES = ("rows", "columns", "mib", "mib_fp64")
BENCHMARKS = "benchmarks"  # where the workflow's rules write seconds and peak memory: <rule>/<experiment>/<model>/...


def versions() -> dict[str, str]:
    """Versions of what computed or draws this report, as installed where the report runs."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def disk(config: Experiment) -> dict[str, int]:
    """Bytes below each folder of the experiment's results (pool, targets, warmup, ...), report excluded."""
    root = Path(config.layout.root)
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return {folder.name: _bytes(folder) for folder in folders}


def _bytes(folder: str | Path) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def times(config: Experiment, folder: str | Path = BENCHMARKS) -> pd.DataFrame:
    """Per rule: jobs, seconds in total, longest job, largest resident memory in MiB, from the workflow's benchmark files."""
    rows = []
    for rule in sorted(Path(folder).glob("*")):
        jobs = [_measured(path) for path in sorted((rule / config.experiment / config.model.name).rglob("*.tsv"))]
        if jobs:
            seconds, memory = [job[0] for job in jobs], [job[1] for job in jobs]
            rows.append({"rule": rule.name, "jobs": len(jobs), "seconds": sum(seconds), "longest": max(seconds), "memory_mib": max(memory)})
    return pd.DataFrame(rows, columns=["rule", "jobs", "seconds", "longest", "memory_mib"])


def _measured(path: Path) -> tuple[float, float]:
    """Seconds and peak resident MiB of a Snakemake benchmark file; memory is nan for jobs too short to be sampled."""
    with path.open(encoding="utf-8") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    memory = row.get("max_rss", "")
    return float(row["s"]), float(memory) if memory not in ("", "-", "NA") else float("nan")


def _seconds_path(ranking: str) -> Path:
    """Where `rank` leaves the seconds of a ranking, {"seconds": float}; rankings of older versions have none."""
    return Path(ranking).with_suffix(".seconds.json")


def cost_table(config: Experiment, folder: str | Path = BENCHMARKS) -> Table | None:
    """A.6: bytes on disk of the matrix each selector ranks on, its own seconds and its job's; none where nothing is chosen."""
    from equipoise.selectors import selector

    layout = config.layout
    rows = []
    for name in config.selectors:
        if name == "full":
            continue
        matrix = selector(name).matrix
        row = {"label": long_label(name), "selector": name, "matrix": matrix or "none"} | dict.fromkeys(SIZES)
        if matrix:
            manifest = read_manifest(layout.matrix_manifest(matrix), "matrix")
            size = (manifest["rows"], len(manifest["columns"]))
            row |= {"rows": size[0], "columns": size[1], "mib": _bytes(layout.matrix(matrix)) / 2**20, "mib_fp64": prod(size) * 8 / 2**20}
        seeds = selection_seeds(config, name)
        own = [json.loads(path.read_text())["seconds"] for seed in seeds if (path := _seconds_path(layout.ranking(name, seed))).exists()]
        jobs = Path(folder) / "rank" / config.experiment / config.model.name / name
        measured = [_measured(path) for seed in seeds if (path := jobs / f"selection-{seed}.tsv").exists()]
        row["seconds"] = sum(own) / len(own) if own else None
        row["job_seconds"] = sum(job[0] for job in measured) / len(measured) if measured else None
        row["memory_mib"] = max((job[1] for job in measured), default=None)
        rows.append(row)
    if not rows:
        return None
    frame = pd.DataFrame(rows).astype(dict.fromkeys((*SIZES, "seconds", "job_seconds", "memory_mib"), float))
    missing = "" if frame["job_seconds"].notna().any() else " No ranking job was measured in this experiment (the workflow measures them)."
    caption = (
        "Cost of selecting (the paper's A.6: below 800 MB in FP64, below a minute on a GPU): size of the matrix measured on disk (FP32) "
        "and computed as FP64; measured on this machine's CPU, seconds of the selector's own work (reading the matrix "
        f"included) and of the whole ranking job with its start, and the job's peak memory.{missing}"
    )
    columns = (
        Column("label", "Selector"),
        Column("matrix", "Matrix"),
        Column("rows", "Rows", 0),
        Column("columns", "Columns", 0),
        Column("mib", "MiB on disk", 1),
        Column("mib_fp64", "MiB as FP64", 1),
        Column("seconds", "Seconds, selector", 3),
        Column("job_seconds", "Seconds, job", 1),
        Column("memory_mib", "Peak MiB", 0),
    )
    return Table("table_cost", "Cost of selecting.", caption, frame, columns)
