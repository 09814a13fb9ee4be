"""Dry run of the paper-scale experiment cut into many shard jobs: seconds and memory, beside a bare Snakefile with as many jobs.

The bare one (one rule a shard, one that waits for all) is the floor that snakemake itself sets on this machine today.
Run it alone:  python tests/benchmarks/bench_dag.py [1000 5000 10000]
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
EXPERIMENT = REPOSITORY / "workflow" / "experiments" / "llama3-8b.yaml"
SIZES = (1_000, 5_000, 10_000)
GOAL_SECONDS, GOAL_MEBIBYTES = 45, 500
BARE = """
SHARDS = [f"{{shard:05d}}" for shard in range({jobs})]
rule all:
    input: "sealed"
rule collect:
    input: "pool"
    output: "shard-{{shard}}.json"
    shell: "touch {{output}}"
rule seal:
    input: expand("shard-{{shard}}.json", shard=SHARDS)
    output: "sealed"
    shell: "touch {{output}}"
"""


def main(sizes: list[int]) -> None:
    print(f"dry run of llama3-8b; goal for 10,000 shard jobs: at most {GOAL_SECONDS} s and {GOAL_MEBIBYTES} MiB")
    print("shard jobs | seconds  processor s      MiB | bare: s  processor s      MiB | ratio: processor s      MiB")
    for jobs in sizes:
        with tempfile.TemporaryDirectory() as folder:
            bare = dry_run(bare_snakefile(Path(folder), jobs))
            ours = dry_run(experiment(Path(folder), jobs))
        print(
            f"{jobs:>10,} | {ours.seconds:>7.1f} {ours.processor_seconds:>12.1f} {ours.mebibytes:>8.0f} "
            f"| {bare.seconds:>7.1f} {bare.processor_seconds:>12.1f} {bare.mebibytes:>8.0f} "
            f"| {ours.processor_seconds / bare.processor_seconds:>18.2f} {ours.mebibytes / bare.mebibytes:>8.2f}",
            flush=True,
        )


def bare_snakefile(folder: Path, jobs: int) -> list[str]:
    """Arguments of a dry run of as many jobs with nothing to them."""
    (folder / "bare").mkdir()
    (folder / "bare" / "Snakefile").write_text(BARE.format(jobs=jobs))
    (folder / "bare" / "pool").touch()
    return ["--directory", str(folder / "bare"), "--snakefile", str(folder / "bare" / "Snakefile"), "--cores", "1"]


def experiment(folder: Path, jobs: int) -> list[str]:
    """Arguments of a dry run of the llama3-8b experiment, its pool cut into `jobs` shard jobs, in an empty folder, for Slurm."""
    values = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))
    epochs = values["warmup"]["epochs"] if values["jobs"]["epochs"] == "separate" else 1  # a job a shard and epoch, or a job a shard
    values["pool"]["shards"] = jobs // epochs
    values["jobs"] = values["jobs"] | {"assembly": 100}
    (folder / "experiment").mkdir()
    tasks = values["tasks"].values()
    for file in [
        *values["pool"].get("files", []),
        *(file for task in tasks for file in [*task.get("files", []), *task.get("substitutes", [])]),
    ]:
        (folder / "experiment" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "experiment" / file).touch()
    config = folder / "experiment" / "experiment.yaml"
    config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    where = ["--directory", str(folder / "experiment"), "--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", str(config)]
    return ["--profile", str(REPOSITORY / "profiles" / "slurm"), *where]


@dataclass(frozen=True)
class Cost:
    """Wall and processor seconds and peak resident memory of a process with its children."""

    seconds: float
    processor_seconds: float
    mebibytes: float


def dry_run(arguments: list[str]) -> Cost:
    """What `snakemake -n ARGUMENTS` costs. Raises `RuntimeError` with its last words when it fails."""
    measure = (
        "import resource, subprocess, sys; "
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True); "
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024); "
        "sys.stderr.write(done.stderr); sys.exit(done.returncode)"
    )
    start = time.perf_counter()
    command = [sys.executable, "-c", measure, sys.executable, "-m", "snakemake", "-n", "--quiet", "all", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Cost(time.perf_counter() - start, *map(float, done.stdout.split()[-2:]))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
