"""The cost table (the paper's A.6): size of the matrices, seconds and memory of ranking."""

import json
from math import prod
from pathlib import Path

import pandas as pd

from equipoise.experiment import selection_seeds
from equipoise.reporting.facts import folder_bytes, measured_job
from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table
from equipoise.selection.rank import seconds_path
from equipoise.selectors import selector
from equipoise.store.artefact import open_artefact

SIZES = ("rows", "columns", "mib", "mib_fp64")
TIMES = ("seconds", "job_seconds", "memory_mib")


def table_cost(material: Material) -> Table:
    """Cost of selecting (the paper's A.6: below 800 MB in FP64, below a minute on a GPU): size of the matrix that each selector ranks on,
    measured on disk (FP32) and computed as FP64; measured on this machine's CPU, seconds of the selector's own work (reading the matrix
    included) and of the whole ranking job with its start, and the job's peak memory."""
    choosing = [name for name in material.config.selectors if selector(name).chooses]
    frame = pd.DataFrame([_row(material, name) for name in choosing]).astype(dict.fromkeys((*SIZES, *TIMES), float))
    caption = "" if frame["job_seconds"].notna().any() else "No ranking job was measured in this experiment (the workflow measures them)."
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
    return Table(caption, frame, columns)


def _row(material: Material, name: str) -> dict[str, object]:
    config, layout = material.config, material.config.layout
    matrix = selector(name).matrix
    row = {"label": selector(name).label, "selector": name, "matrix": matrix or "none"} | dict.fromkeys(SIZES)
    if matrix:
        manifest = open_artefact(config, "matrix", matrix=matrix)
        size = (manifest["rows"], len(manifest["columns"]))
        row |= {"rows": size[0], "columns": size[1], "mib": folder_bytes(layout.matrix(matrix)) / 2**20, "mib_fp64": prod(size) * 8 / 2**20}
    seeds = selection_seeds(config, name)
    own = [json.loads(path.read_text())["seconds"] for seed in seeds if (path := Path(seconds_path(layout.ranking(name, seed)))).exists()]
    jobs = material.benchmarks / "rank" / config.experiment / config.model.name / name
    measured = [measured_job(path) for seed in seeds if (path := jobs / f"selection-{seed}.tsv").exists()]
    row["seconds"] = sum(own) / len(own) if own else None
    row["job_seconds"] = sum(job[0] for job in measured) / len(measured) if measured else None
    row["memory_mib"] = max((job[1] for job in measured), default=None)
    return row
