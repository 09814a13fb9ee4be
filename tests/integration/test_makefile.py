"""The Makefile's targets that are too long to run here: what they would start."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from equipoise.estimators import ESTIMATORS, MATES
from helpers.places import REPOSITORY


def would_run(target: str) -> str:
    if not shutil.which("make"):
        pytest.skip("no make here")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/.installed", target]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


EARLY = "report_partial all --prioritize report_partial"
"""A page of the first selectors, long before the end."""


@pytest.mark.parametrize(("target", "option"), [("demo", EARLY), ("report", "--forcerun report"), ("dry-run", f"{EARLY} --dry-run")])
def test_every_run_of_the_embedded_experiment_can_go_on_after_a_kill(target, option):
    assert f"equipoise run --profile profiles/local --cores all {option}".strip() in would_run(target)


def test_benchmarks_leave_no_bytecode_among_the_tests_which_would_make_them_run_anew():
    assert "PYTHONDONTWRITEBYTECODE=1 .venv/bin/python $script" in would_run("bench")


def test_every_day_the_unit_tests_run_alone_and_ci_leaves_out_the_nightly_ones():
    assert "-m pytest tests/unit " in would_run("test-fast")
    assert "-m nightly" in would_run("test-nightly")
    assert '-m "not slurm and not nightly"' in would_run("test-now")


def test_every_estimator_that_needs_no_file_of_the_users_is_validated():
    recipe = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    program = re.search(r'-c "(from equipoise\.estimators [^"]*)"', recipe)[1]
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert said.split(", ") == [*(each.name for each in ESTIMATORS), MATES]
