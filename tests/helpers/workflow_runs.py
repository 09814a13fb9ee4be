"""Runs snakemake on a small experiment in a folder of its own, as a user would, and reads what it says."""

import re
import subprocess
from pathlib import Path

import yaml

from helpers import warm
from helpers.places import REPOSITORY

TARGETS = ("all", "matrix", "selections")


def evaluated(values: dict) -> dict:
    """The values with a suite for a task, so that there is something to report. For dry runs: its lm-eval task is but a name."""
    first = values["tasks"]["first"] | {"suite": "mine", "lm_eval_tasks": ["mine"]}
    return values | {"tasks": values["tasks"] | {"first": first}, "suites": {"mine": {}}}


def scored_by_loss(values: dict) -> dict:
    """The values with both tasks scored by held-out loss of what was not drawn, a whole evaluation without lm-eval; one job a selector."""
    tasks = {name: task | {"suite": "mine"} for name, task in values["tasks"].items()}
    jobs = values.get("jobs", {}) | {"runs": "together"}
    return values | {"tasks": tasks, "suites": {"mine": {"measure": "loss"}}, "jobs": jobs}


def reported(workflow: "Workflow") -> set[str]:
    """The selectors whose scores are in the report, which has a page."""
    (page,) = workflow.results.glob("*/report/index.html")
    lines = (page.parent / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert page.stat().st_size > 10_000
    return {line.split(",")[lines[0].split(",").index("selector")] for line in lines[1:]}


class Workflow:
    """One experiment in `folder`: `run(...)` calls snakemake there and returns its output.

    python: of the stages; the configuration's own comes first.
    """

    def __init__(self, folder: Path, values: dict, python: warm.WarmPython = warm.STAGES):
        self.folder = folder
        self.values = {"python": python.path} | values
        self._python = python
        self.results = Path(values.get("results", "results"))

    def snakemake(self, *arguments: str, cores: int = 2) -> subprocess.CompletedProcess:
        config = self.folder / "experiment.yaml"
        config.write_text(yaml.safe_dump(self.values, sort_keys=False), encoding="utf-8")
        if "-n" not in arguments:
            self._python.start()
        command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        command += ["--configfile", str(config), "--cores", str(cores), "--rerun-incomplete", "--show-failed-logs", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    def run(self, *arguments: str, cores: int = 2) -> str:
        done = self.snakemake(*arguments, cores=cores)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule that a dry run would start; empty when there is nothing to do."""
        text = self.run("-n", *arguments)
        table = text.split("Job stats:")[-1].split("total")[0] if "Job stats:" in text else ""
        return {
            name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M) if name not in ("all", "matrix", "selections")
        }

    def digests(self, pattern: str) -> dict[str, bytes]:
        """Content of the result files that match, by relative path."""
        return {str(path.relative_to(self.results)): path.read_bytes() for path in sorted(self.results.glob(pattern)) if path.is_file()}
