"""Another workflow uses the rules as a module, under a prefix: its runs go on after a kill."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from helpers import warm
from helpers.kill_drill import kill_and_repeat
from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow

USING = """
configfile: "mine.yaml"

module equipoise:
    snakefile: {snakefile!r}
    config: config["equipoise"]
    {prefix}

use rule * from equipoise as eq_*

onstart:
    print("the user's own", flush=True)

rule count:
    default_target: True
    input: rules.eq_selections.input.selections
    output: "counted.txt"
    shell: "cat {{input:q}} | wc -l > {{output}}"
"""


@pytest.fixture
def using(tiny_values, tmp_path):
    """Makes a folder with a workflow that uses ours; says how to run it there."""

    def make(name, prefix):
        folder = tmp_path / name
        folder.mkdir()
        values = tiny_values | {"selectors": ["bids"], "results": "results", "python": warm.STAGES.start()}
        values["jobs"] = {"epochs": "together", "tasks": "together"}
        (folder / "mine.yaml").write_text(yaml.safe_dump({"equipoise": values}), encoding="utf-8")
        text = USING.format(snakefile=str(REPOSITORY / "Snakefile"), prefix=f"prefix: {prefix!r}" if prefix else "")
        (folder / "Snakefile").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_module_with_a_prefix_is_killed_and_retyped_and_all_of_it_lies_below_the_prefix(using, kills):
    folder = using("prefixed", "parts/influence")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    command = [sys.executable, "-m", "equipoise", "run", "--cores", "2"]
    met_jobs = kill_and_repeat(command, kills, longest=3, seed=3, folder=folder, environment=environment).values()
    assert any(met_jobs) or not kills, "no kill came while a job was at work: nothing was tested"
    assert int((folder / "counted.txt").read_text()) > 0
    below = folder / "parts" / "influence"
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "Snakefile",
        "counted.txt",
        "mine.yaml",
        "parts",
    ]
    assert {path.name for path in below.iterdir()} == {"benchmarks", "logs", "results"}
    again = subprocess.run([*command, "-n"], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_module_without_a_prefix_plans_the_jobs_of_the_workflow_itself(using):
    folder = using("plain", "")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    values = yaml.safe_load((folder / "mine.yaml").read_text(encoding="utf-8"))["equipoise"]
    own = Workflow(folder, values).planned("selections")
    used = {name.removeprefix("eq_"): int(count) for name, count in re.findall(r"^(eq_\w+)\s+(\d+)$", done.stdout, re.M)}
    assert used == own
