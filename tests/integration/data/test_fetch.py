"""Fetching once from the hub, then working with the hub gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.hub, pytest.mark.slow]


@pytest.fixture
def experiment(tmp_path) -> Path:
    values = {
        "experiment": "fetched",
        "results": str(tmp_path / "results"),
        "model": {"name": "tiny", "base": "meta-llama/Meta-Llama-3-8B", "precision": "fp32", "device": "cpu"},
        "pool": {"dataset": "openbmb/UltraInteract_sft", "limit": 20},
        "targets": {"size": 5},
        "tasks": {
            "human_eval": {"capability": "coding", "benchmark": "human_eval"},
            "algebra": {"capability": "math", "benchmark": "math", "lm_eval_tasks": ["equipoise_math_algebra"]},
        },
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def equipoise(environment: dict, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "equipoise", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_after_fetch_the_stages_run_without_the_hub(shared_hub, experiment, tmp_path):
    server = subprocess.Popen([sys.executable, str(shared_hub / "serve.py"), "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        online = {**os.environ, "HF_ENDPOINT": server.stdout.readline().strip(), "HF_HOME": str(tmp_path / "hf")}
        done = equipoise(online, "fetch", "--config", str(experiment))
        assert done.returncode == 0, done.stderr
        values = yaml.safe_load(experiment.read_text())
        values["model"]["base"] = "meta-llama/No-Such-Model"
        (tmp_path / "missing.yaml").write_text(yaml.safe_dump(values))
        missing = equipoise(online, "fetch", "--config", str(tmp_path / "missing.yaml"))
        assert missing.returncode == 2
        assert "model.base: cannot load 'meta-llama/No-Such-Model'" in missing.stderr
    finally:
        server.terminate()
        server.wait()
    fetched = json.loads((tmp_path / "results" / "fetched" / "fetch.json").read_text())
    commits = [fetched["base"]["commit"], *fetched["pool"]["commits"], *fetched["tasks"]["algebra"]["equipoise_math_algebra"]]
    assert len(commits) == 3
    assert all(len(commit) == 40 for commit in commits)
    offline = {**online, "HF_HUB_OFFLINE": "1"}
    for stage in ("prepare_pool", "prepare_targets"):
        done = equipoise(offline, stage, "--config", str(experiment))
        assert done.returncode == 0, done.stderr
    again = equipoise(offline, "fetch", "--config", str(experiment))
    assert again.returncode == 2
    assert "HF_HUB_OFFLINE is set" in again.stderr
    assert "Traceback" not in again.stderr


def test_offline_without_a_fetch_says_so(experiment, tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    done = equipoise(environment, "prepare_targets", "--config", str(experiment), "--tasks", "human_eval")
    assert done.returncode == 2
    assert "this stage is offline, run `equipoise fetch` first" in done.stderr
    assert "Traceback" not in done.stderr
