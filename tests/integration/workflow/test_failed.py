"""A run in which a stage fails: what it said reaches whoever looks at the terminal, once, with a profile and without."""

import subprocess

import pytest
import yaml

from helpers import warm
from helpers.places import REPOSITORY

WORDS = "error: pool.jsonl, line 3: no JSON"


@pytest.mark.slow
@pytest.mark.parametrize("profile", [(), ("--profile", str(REPOSITORY / "profiles/local"))], ids=["plain", "local"])
def test_what_a_failed_stage_said_is_shown_once(tiny_values, tmp_path, profile):
    failing = tmp_path / "python"
    failing.write_text(f"#!/bin/sh\necho '{WORDS}' >&2\nexit 2\n", encoding="utf-8")
    failing.chmod(0o755)
    values = tiny_values | {"python": str(failing), "results": "results"}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--configfile", str(tmp_path / "experiment.yaml"), "--cores", "1", *profile, "prepare_pool"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert said.count(WORDS) == 1, said
    assert "failed: prepare_pool, log logs/prepare_pool/tiny/tiny/all.log" in said
    assert "parts are done and kept" in said
    assert "to go on:  type the same command again\n" in said
