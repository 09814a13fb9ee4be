"""A dry run of every shipped full-scale experiment."""

import re
import subprocess
import sys

import pytest

from equipoise.config_file import read_config
from equipoise.planning.plan import plan
from helpers.places import REPOSITORY
from helpers.rows import write_jsonl

NAMES = ("llama3-8b", "mistral-7b-v0.3", "smollm2-135m", "less")


def path_of(name):
    return REPOSITORY / "workflow" / "experiments" / f"{name}.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_plans_the_jobs_of_the_plan(name, tmp_path):
    write_jsonl(tmp_path / "resources" / "ifeval_responses.jsonl", [{"prompt": "p", "response": "r"}])
    line = [sys.executable, "-m", "snakemake", "-n", "-s", str(REPOSITORY / "Snakefile")]
    line += ["--configfile", str(path_of(name)), "--directory", str(tmp_path), "--cores", "2"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    counted = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)}
    expected = {stage.name: len(stage.jobs) for stage in plan(read_config(path_of(name))).stages}
    assert {rule: counted.get(rule) for rule in expected} == expected
