"""The example of a user's own pool and tasks, through the whole workflow, without a line of code."""

import json
import shutil

import pytest
import yaml

from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow

EXAMPLE = "examples/bring-your-own"


@pytest.fixture
def example(tmp_path, tiny_base):
    """The example's own files and configuration in a folder of their own, with a tiny random base and one seed."""
    shutil.copytree(REPOSITORY / EXAMPLE, tmp_path / EXAMPLE)
    values = yaml.safe_load((tmp_path / EXAMPLE / "config.yaml").read_text())
    values["results"] = str(tmp_path / "results")
    values["model"]["base"] = str(tiny_base)
    values["finetune"]["seeds"] = [0]
    return Workflow(tmp_path, values)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_told_nowhere(secrets, folder, told):
    """No secret of the environment is in a result, log, manifest or in what Snakemake keeps and says."""
    holders = [path for path in folder.rglob("*") if path.is_file() and any(secret in path.read_bytes() for secret in secrets)]
    assert holders == []
    assert not any(secret in told for secret in secrets)


@pytest.mark.slow
def test_a_users_pool_and_tasks_run_to_the_report(example, monkeypatch):
    secrets = {name: f"secret-of-{name.lower()}-81f7" for name in ("HF_TOKEN", "WANDB_API_KEY")}
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    told = example.run("--printshellcmds")
    assert_told_nowhere([secret.encode() for secret in secrets.values()], example.folder, told.encode())
    root = example.results / "bring-your-own" / "shipped-base"
    pool = {row["id"]: row for row in lines(example.folder / EXAMPLE / "pool.jsonl")}
    picks = lines(root / "selection" / "bids" / "selection-0" / "budget-0.1.jsonl")
    assert len(picks) == len(pool) // 10
    assert len({pick["id"] for pick in picks}) == len(picks)
    for pick in picks:
        row = pool[pick["id"]]
        assert [turn["content"] for turn in pick["messages"]] == [row["prompt"], row["response"]]
        assert pick["source"] == row["source"]
        assert pick["task"] in ("sums", "lists")
    runs = sorted(path.parent for path in root.glob("runs/*/*/*/*/*/evaluation"))
    assert {path.relative_to(root / "runs").parts[0] for path in runs} == {"zero_shot", "random", "task_max", "bids", "full"}
    for run in runs:
        scores = json.loads((run / "evaluation" / "mine" / "seed-0.json").read_text())
        assert set(scores["tasks"]) == {"sums", "lists"}
        assert all(score["items"] == 40 for score in scores["tasks"].values())
        asked = [sample["prompt"] for sample in lines(run / "evaluation" / "mine" / "seed-0.samples.jsonl")]
        assert len(asked) == 80
    page = (example.results / "bring-your-own" / "report" / "index.html").read_text(encoding="utf-8")
    assert "sums" in page
    assert "lists" in page
    assert "BIDS" in page
    assert example.planned() == {}, "a second run has nothing to do"


def test_a_broken_line_of_the_users_file_is_named(example):
    path = example.folder / EXAMPLE / "pool.jsonl"
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"prompt": "no response here"}\n')
    count = len(path.read_text(encoding="utf-8").splitlines())
    failed = example.snakemake("--until", "prepare_pool")
    assert failed.returncode != 0
    assert f"pool.jsonl:{count}: no form fits its fields" in failed.stdout + failed.stderr
