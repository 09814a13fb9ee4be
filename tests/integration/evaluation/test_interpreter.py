"""A suite with an interpreter of its own is evaluated by it; the other suites, and every other stage, keep the experiment's."""

import subprocess
import sys

import pytest
import yaml

from helpers.evaluation_experiment import evaluation_values

RUN = "zero_shot/selection-0/budget-1.0/epochs-0/seed-0"


@pytest.fixture
def own(tiny_values, tmp_path):
    """`equipoise evaluate` of a suite in an experiment whose suite `chat` names an interpreter that only says how it was called."""
    other = tmp_path / "its own" / "python"
    other.parent.mkdir()
    other.write_text('#!/bin/sh\necho "called: $*"\n')
    other.chmod(0o755)
    values = evaluation_values(tiny_values, tmp_path)
    values["suites"]["chat"]["python"] = str(other)
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(values))

    def evaluate(suite: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "equipoise", "evaluate", "--config", str(path), "--run", RUN, "--suite", suite]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    return evaluate, other, path


def test_the_suites_interpreter_gets_the_same_command(own):
    evaluate, _, path = own
    done = evaluate("chat")
    assert done.stdout == f"called: -m equipoise evaluate --config {path} --run {RUN} --suite chat --suite-seed 0\n"
    assert done.returncode == 0


def test_another_suite_stays_where_it_is(own):
    evaluate, _, _ = own
    done = evaluate("plain")
    assert "called" not in done.stdout
    assert "targets/second/manifest.json: missing" in done.stderr


def test_an_interpreter_that_is_not_there_is_one_line(own):
    evaluate, other, _ = own
    other.unlink()
    done = evaluate("chat")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: {other}: no such interpreter; write the path of a Python that has equipoise installed"
