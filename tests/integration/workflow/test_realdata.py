"""The same DAG on real benchmark data: realdata-check.yaml from hub ids to the report, offline once everything is fetched."""

import csv
import json
import os
import subprocess
import sys

import pytest
import yaml

from helpers import warm
from helpers.loopback import serving
from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow


@pytest.fixture
def hub(shared_hub, tmp_path, monkeypatch):
    """The loopback hub as a running process, and an empty cache."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-cache"))
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    with serving(shared_hub) as (address, server):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield server


@pytest.fixture
def python(hub):
    """What runs the stages on that cache."""
    with warm.offline_stages(warm.STOCK_TASKS) as started:
        yield started


@pytest.mark.slow
@pytest.mark.nightly  # test_full_scale.py runs the same data and stages by other sizes
@pytest.mark.hub
def test_real_benchmarks_run_to_the_report_offline_after_the_fetch(hub, python, shared_hub, tmp_path):
    values = yaml.safe_load((REPOSITORY / "workflow" / "experiments" / "realdata-check.yaml").read_text(encoding="utf-8"))
    values["tasks"]["ifeval"]["files"] = [str(shared_hub / "ifeval_responses.jsonl")]
    values |= {"results": "results", "selectors": ["task_max", "bids"], "budgets": [0.05]}
    workflow = Workflow(tmp_path, values, python)
    root = tmp_path / "results" / "realdata-check"
    workflow.run("results/realdata-check/fetch.json")
    fetched = json.loads((root / "fetch.json").read_text(encoding="utf-8"))
    assert set(fetched["tasks"]) == set(values["tasks"])
    hub.kill()
    hub.wait()
    workflow.run()
    with open(root / "report" / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    evaluated = {name for name, task in values["tasks"].items() if task.get("suite")}
    assert {row["task"] for row in rows} == evaluated
    assert {row["selector"] for row in rows} == {"zero_shot", "task_max", "bids"}
    matrix = json.loads((root / "llama3-8b" / "attribution" / "influence" / "manifest.json").read_text(encoding="utf-8"))
    assert [column["task"] for column in matrix["columns"]] == [task for task in values["tasks"] for _ in range(10)]
    assert_no_validation_item_is_evaluated(root / "llama3-8b")


@pytest.mark.slow
@pytest.mark.hub
def test_leak_free_runs_to_the_report_on_the_tasks_that_have_a_split_for_it(hub, python, sandbox_modes, tmp_path):
    if not sandbox_modes & {"bubblewrap", "namespaces"}:
        pytest.skip("no mode of sandbox.mode: auto works on this machine")
    values = yaml.safe_load((REPOSITORY / "workflow" / "experiments" / "realdata-check.yaml").read_text(encoding="utf-8"))
    code = {"suite": "code", "lm_eval_tasks": ["equipoise_mbpp"], "metric": "pass_at_1,none"}
    values |= {
        "results": "results",
        "budgets": [0.1],
        "selectors": ["task_max"],
        "pool": values["pool"] | {"limit": 64},
        "targets": {"size": 4, "validation": "leak_free"},
        "tasks": {name: values["tasks"][name] for name in ("mbpp", "mmlu", "math")},
        "sandbox": {"mode": "auto"},
        "warmup": {"epochs": 1},
        "finetune": {"epochs": 1, "seeds": [0], "zero_shot": False},
    }
    values["tasks"]["mbpp"] |= code
    values["suites"] = {name: values["suites"][name] | {"limit": 2} for name in ("knowledge", "math")}
    values["suites"]["code"] = {"limit": 2, "max_new_tokens": 16}
    workflow = Workflow(tmp_path, values, python)
    workflow.run("results/realdata-check/fetch.json")
    hub.kill()
    hub.wait()
    workflow.run()
    model = tmp_path / "results" / "realdata-check" / "llama3-8b"
    manifests = {name: json.loads((model / "targets" / name / "manifest.json").read_text(encoding="utf-8")) for name in values["tasks"]}
    splits = {name: {example.split("/")[1] for example in manifest["ids"]} for name, manifest in manifests.items()}
    assert splits == {"mbpp": {"validation"}, "mmlu": {"validation"}, "math": {"train"}}
    assert len(manifests["mbpp"]["holdout"]["equipoise_mbpp"]) >= 399 - 239, "the test split alone is evaluated"
    assert_no_validation_item_is_evaluated(model)
    with open(model.parent / "report" / "scores.csv", encoding="utf-8") as file:
        assert {row["task"] for row in csv.DictReader(file)} == set(values["tasks"])


def assert_no_validation_item_is_evaluated(model):
    paths = list(model.glob("runs/**/*.samples.jsonl"))
    assert paths
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            manifest = json.loads((model / "targets" / sample["task"] / "manifest.json").read_text(encoding="utf-8"))
            assert sample["doc_id"] not in manifest["holdout"].get(sample["lm_eval_task"], [])
            assert sample["content_hash"] not in manifest["hashes"]


def test_without_network_a_hub_id_is_one_clear_line(tmp_path):
    config = REPOSITORY / "workflow" / "experiments" / "realdata-check.yaml"
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "equipoise", "fetch", "--config", str(config)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "meta-llama/Meta-Llama-3-8B" in errors[0]
    assert "Traceback" not in done.stderr
