"""Profiles beyond one machine and Slurm: the rules know no executor."""

import os
import re
import subprocess
import sys

import yaml

from helpers.places import REPOSITORY
from helpers.workflow_runs import evaluated


def dry_run(values: dict, tmp_path, profile: str, **environment: str) -> subprocess.CompletedProcess:
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(evaluated(values)))
    command = [sys.executable, "-m", "snakemake", "--profile", str(REPOSITORY / "profiles" / profile), "-n"]
    command += [
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--directory",
        str(tmp_path),
        "--configfile",
        str(tmp_path / "experiment.yaml"),
    ]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_a_workstation_limits_gpu_jobs_to_its_gpus(tiny_values, tmp_path):
    tiny_values["model"]["device"] = "auto"
    done = dry_run(tiny_values, tmp_path, "workstation", EQUIPOISE_DEVICES="0,1,2")
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert re.search(r"rule warm_up:\n(?:.+\n)*? *resources: .*gpu=1", shown)
    trained = dry_run(
        tiny_values | {"training": tiny_values["training"] | {"processes": 4, "micro_batch_size": 2}},
        tmp_path,
        "workstation",
        EQUIPOISE_DEVICES="0,1",
    )
    assert trained.returncode == 0
    assert "gpu=2" in trained.stdout + trained.stderr, (
        "snakemake caps a request at what the machine has; the stage then says what is missing"
    )
