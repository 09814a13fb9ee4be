"""Jobs that failed in the last run of a folder, read from snakemake's own log."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

RULE = re.compile(r"^(?:Error in| {7}) rule (\w+):$")  # a job alone, or one of a group
FIELD = re.compile(r"^ {4,}(jobid|output|log): (.*)$")
JOB = re.compile(r"^ *(?:Error in )?(?:local)?rule \w+:$")
FINISHED = re.compile(r"^Finished jobid: (\d+)")
LAST_LINES = 5


@dataclass(frozen=True)
class Failure:
    """A job that failed last and has not succeeded since."""

    rule: str
    log: str
    words: list[str]


def last_log(folder: Path) -> Path | None:
    """Snakemake's log of the newest run in `folder` that started a job: listing rules, summaries and the like write logs too."""
    logs = sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"), reverse=True)
    return next((log for log in logs if _holds_jobs(log)), None)


def _holds_jobs(log: Path) -> bool:
    with open(log, encoding="utf-8", errors="replace") as lines:
        return any(JOB.match(line) for line in lines)


def failures(folder: Path, below: Path | None = None) -> list[Failure]:
    """Jobs of the newest run whose last try failed, each with the last lines of its log.

    folder: where snakemake runs; outputs and logs are relative to it. below: only jobs with an output below this folder.
    """
    path = last_log(folder)
    failed: dict[str, dict[str, str]] = {}
    job: dict[str, str] | None = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path else []:
        if rule := RULE.match(line):
            job = {"rule": rule.group(1)}
        elif finished := FINISHED.match(line):
            failed.pop(finished.group(1), None)
        elif job is not None and (field := FIELD.match(line)):
            job[field.group(1)] = field.group(2).split(" (check")[0]
            failed[job.get("jobid", "")] = job
        elif not line.startswith("    "):
            job = None
    concerned = [job for job in failed.values() if below is None or _is_below(folder, job, below)]
    left = [(job["rule"], job.get("log", "").split(", ")[0]) for job in concerned if not _is_done(folder, job)]
    return [Failure(rule, log, last_words(folder / log) if log else []) for rule, log in left]


def _is_below(folder: Path, job: dict[str, str], below: Path) -> bool:
    root = os.path.realpath(below)
    outputs = (os.path.realpath(folder / output) for output in job.get("output", "").split(", "))
    return any(os.path.commonpath([root, output]) == root for output in outputs)


def _is_done(folder: Path, job: dict[str, str]) -> bool:
    """A job of a group that failed may itself have succeeded."""
    outputs = job.get("output", "").split(", ")
    return all(output and (folder / output).exists() for output in outputs)


def last_words(log: Path, lines: int = LAST_LINES) -> list[str]:
    """The last non-empty lines of a log; one line that says so when there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ["(no log: the job ended before its stage began; see .snakemake/slurm_logs)"]
    return [line for line in text.splitlines() if line.strip()][-lines:]
