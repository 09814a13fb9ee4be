"""Other ways into the same workflow: the Workflow Catalog's Snakefile, and a container for its stages."""

import os
import re
import subprocess
import sys

import pytest

from helpers.places import REPOSITORY

COMMAND = [sys.executable, "-m", "snakemake", "-n"]


def jobs(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))


def test_both_doors_lead_to_the_same_jobs(tmp_path):
    found = []
    for door in ("Snakefile", "workflow/Snakefile"):
        command = [*COMMAND, "--quiet", "rules", "--snakefile", REPOSITORY / door]
        found.append(jobs(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout))
    assert "report" in found[0]
    assert found[0] == found[1]


@pytest.mark.parametrize("image", ["equipoise.sif", ""])
def test_in_a_container_the_stages_run_by_its_own_python(image, tmp_path):
    stand_in = tmp_path / "programs" / "apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho apptainer version 1.3.0\n", encoding="utf-8")
    stand_in.chmod(0o755)
    command = [*COMMAND, "--printshellcmds", "--sdm", "apptainer", "--snakefile", REPOSITORY / "Snakefile"]
    command += ["--config", f"container={image}"] if image else []
    environment = os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if not image:
        assert (done.returncode, "error: container: --sdm apptainer needs an image" in done.stderr) == (2, True)
        return
    stages = re.findall(r"^Shell command: (env .*)$", done.stdout + done.stderr, re.M)
    assert len(stages) > 10
    assert all(" python -m equipoise " in stage for stage in stages)
