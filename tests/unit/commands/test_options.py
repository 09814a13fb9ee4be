"""Options that name what is not there, and stages before their inputs are: one line, before anything is written."""

import json
from pathlib import Path

import pytest
import yaml

from equipoise.data.pool import prepare_pool
from equipoise.process import THREAD_VARIABLES
from helpers.commands import equipoise

RUN = "bids/selection-0/budget-0.1/epochs-1/seed-0"


@pytest.fixture
def said(tiny_config, tmp_path, monkeypatch):
    """Runs a stage of the tiny experiment, its pool prepared, which must refuse; returns its one line."""
    for variable in (*THREAD_VARIABLES, "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(variable, "1")
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(tiny_config.model_dump(mode="json")))
    prepare_pool(tiny_config)

    def refused(stage: str, *arguments: str) -> str:
        before = sorted(Path(tiny_config.results).rglob("*"))
        done = equipoise(stage, "--config", path, *arguments)
        lines = done.stderr.splitlines()
        assert (done.returncode, len(lines)) == (2, 1), lines
        assert sorted(Path(tiny_config.results).rglob("*")) == before, "nothing is made, not even a folder"
        return lines[0]

    return refused


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("collect_pool_gradients --shard 99", ["shard 99", "write 0 to 0"]),
        ("collect_pool_gradients --shard -1", ["shard -1", "write 0 to 0"]),
        ("collect_pool_gradients --shard 0 --epochs 3", ["--epochs 3", "write one of 1, 2"]),
        ("collect_pool_gradients --shard 0 --epochs one", ["--epochs one", "write one of 1, 2"]),
        ("warm_up --seed 3", ["--seed 3", "write one of 0"]),
        ("collect_target_gradients --tasks third", ["--tasks third", "first, second"]),
        ("prepare_targets --tasks first,third", ["--tasks third", "first, second"]),
        ("assemble_attribution --shard 1", ["shard 1", "write 0 to 0"]),
        ("assemble_attribution --shard 0 --matrix nope", ["--matrix nope", "influence, last_token"]),
        ("seal_attribution --matrix nope", ["--matrix nope", "influence, last_token"]),
        ("rank --selector nope", ["--selector nope", "random, task_max"]),
        ("select_budget --selector nope --budget 0.1", ["--selector nope", "random, task_max"]),
        ("select_budget --selector bids --budget much", ["'much'", "0.05"]),
        ("fine_tune --run nope", ["'nope'", "selector/selection-0/budget-0.1/epochs-2/seed-0"]),
        (f"fine_tune --run {RUN.replace('bids', 'bidz')}", ["--run bidz/", "no such run", f"closest of its runs: {RUN}"]),
        (f"fine_tune --run {RUN}", ["bids/selection-0/budget-0.1.jsonl: missing", "select_budget --selector bids --budget 0.1"]),
        ("fine_tune --run zero_shot/selection-0/budget-1.0/epochs-0/seed-0", ["--run zero_shot/", "no such run"]),
        (f"evaluate --suite x --run {RUN.replace('seed-0', 'seed-7')}", ["seed-7", "no such run", RUN]),
        (f"evaluate --suite x --run {RUN}", ["--suite x", "the experiment has none"]),
        ("fine_tune_and_evaluate --selector nope", ["--selector nope", "zero_shot, random, task_max, bids, full"]),
        ("fine_tune_and_evaluate --selector random --selection-seed 2", ["--selection-seed 2", "write one of 0, 1"]),
        ("collect_pool_gradients --shard 0 --epochs 2", ["warmup/epoch-2.json: missing"]),
        ("collect_target_gradients --tasks second", ["targets/second/manifest.json: missing"]),
        ("fine_tune_and_evaluate --selector bids", ["bids/selection-0/budget-0.1.jsonl: missing", "select_budget --selector bids"]),
        ("audit_gradients --epoch 3", ["--epoch 3", "write one of 1, 2"]),
        ("audit_gradients --task third", ["--task third", "first, second"]),
    ],
)
def test_a_name_that_is_not_there_is_one_line_with_those_that_are(said, command, words):
    line = said(*command.split())
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


def test_a_profile_of_the_study_that_is_not_there_is_one_line():
    said = equipoise("miniature", "study", "--profiles", "noisy,nope").stderr
    assert said == "error: --profiles nope: unknown; write one of noisy, clean, conflicting\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--cores", "few"], "--cores few: write a number of at least 1, or all"),
        (["--cores", "1", "--pool-seeds", "0,one"], "--pool-seeds 0,one: write seeds, whole numbers separated by commas"),
        (["--cores", "1", "--estimator", "leis"], "--estimator leis: unknown; write one of less, "),
        (["--cores", "1", "--selectors", "bids,bid"], "--selectors bid: unknown; write one of "),
        (["--final", "--selectors", "bids"], "--final: its arms are fixed; leave out --selectors"),
    ],
)
def test_what_a_study_cannot_run_is_one_line(arguments, word):
    done = equipoise("miniature", "study", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith(f"error: {word}")


@pytest.mark.parametrize("stage", ["warm_up", f"fine_tune --run {RUN}", "fine_tune_and_evaluate --selector bids"])
def test_curves_for_a_tool_that_is_not_installed_are_refused_at_the_start(said, tmp_path, stage, monkeypatch):
    path = tmp_path / "experiment.yaml"
    values = yaml.safe_load(path.read_text())
    values["training"]["report_to"] = ["wandb"]
    path.write_text(json.dumps(values))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()  # as wandb leaves it
    line = said(*stage.split())
    assert line.startswith("error: training.report_to: wandb is not installed in ")
    assert "leave it out" in line
