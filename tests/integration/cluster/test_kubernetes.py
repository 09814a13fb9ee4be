"""The Kubernetes profile: resolved in a dry run, and run through the real plugin against a stand-in API that starts the pods' commands."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from helpers.kubernetes_api import KubernetesApi
from helpers.places import REPOSITORY
from helpers.workflow_runs import evaluated

pytest.importorskip("snakemake_executor_plugin_kubernetes")


def snakemake(values: dict, tmp_path, *arguments: str, **environment: str) -> str:
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", *arguments, "--profile", str(REPOSITORY / "profiles" / "kubernetes")]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", str(tmp_path / "experiment.yaml")]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def test_a_dry_run_resolves(tiny_values, tmp_path):
    tiny_values["model"]["device"] = "auto"
    shown = snakemake(evaluated(tiny_values), tmp_path, "-n")
    jobs = dict(re.findall(r"^ *rule (\w+):\n((?: +\w+: .*\n)+)", shown, re.M))
    for rule in ("warm_up", "collect_pool_gradients"):
        assert re.search(r"resources: .*gpu=1", jobs[rule]), rule
    assert "resources: " in jobs["rank"]
    assert "gpu=" not in jobs["rank"]
    assert "storage" not in shown.lower(), "files lie on the shared volume, no provider carries them"


@pytest.mark.slow
def test_pods_find_everything_on_the_volume(tiny_values, tmp_path):
    tiny_values["results"] = "results"
    tiny_values["model"]["device"] = "auto"
    (tmp_path / "home").mkdir()
    with KubernetesApi(tmp_path) as api:
        claim = ["--kubernetes-persistent-volumes", f"equipoise:{tmp_path}", "--seconds-between-status-checks", "1"]
        targets = ["results/tiny/tiny/warmup/epoch-1.json"]
        snakemake(tiny_values, tmp_path, *targets, *claim, KUBECONFIG=str(api.kubeconfig), HOME=str(tmp_path / "home"))
    assert (tmp_path / targets[0]).is_file()
    (log,) = (tmp_path / "logs" / "warm_up").rglob("*.log")
    assert "EQUIPOISE_STAND_IN_GPUS is set: given 1 GPUs, computing on the cpu" in log.read_text(), "a stage knows what its job was given"
    pods = [job["spec"]["template"]["spec"] for job in api.jobs.values()]
    assert len(pods) == 3  # prepare_pool and check_base, then warm_up
    assert all({"name": "equipoise", "mountPath": str(tmp_path)} in pod["containers"][0]["volumeMounts"] for pod in pods)
    assert [pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", "0") for pod in pods] == ["0", "0", "1"]
    assert pods[-1]["containers"][0]["resources"]["limits"]["memory"] == "64000M"
