"""The site file of the Slurm profile: found, merged key by key, mistakes named."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from helpers import warm
from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow, evaluated


def dry_run(values: dict, tmp_path, site: dict | None) -> str:
    """A dry run of the whole small experiment under the Slurm profile and a site file, with all resources shown."""
    environment = os.environ | {"EQUIPOISE_SITE": str(tmp_path / "site.yaml")}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site) if site else "")
    Workflow(tmp_path, values)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(evaluated(values)))
    command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--profile", str(REPOSITORY / "profiles" / "slurm"), "-n", "-p"]
    command += [
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
        "--directory",
        str(tmp_path),
        "--configfile",
        str(tmp_path / "experiment.yaml"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def resources(shown: str, rule: str) -> dict[str, str]:
    """Resources of the first planned job of a rule."""
    block = re.search(rf"^ *rule {rule}:\n(?:.+\n)*? *resources: (.*)$", shown, re.M)
    return dict(item.split("=", 1) for item in block.group(1).split(", "))


def command_of(shown: str, rule: str) -> str:
    """The shell command of the first planned job of a rule."""
    return next(line for line in shown.splitlines() if f"-m equipoise {rule} " in line)


def test_gpu_stages_ask_for_a_gpu_and_cpu_stages_never_do(tiny_values, tmp_path):
    tiny_values["model"]["device"] = "auto"
    shown = dry_run(tiny_values, tmp_path, {"gpu_partition": "a100", "cpu_partition": "cpu", "gpu_model": "a100", "account": "lab"})
    for rule in ("warm_up", "collect_pool_gradients", "collect_target_gradients"):
        asked = resources(shown, rule)
        assert (asked["gpu"], asked["gpu_model"], asked["slurm_partition"]) == ("1", "a100", "a100"), rule
        assert asked["slurm_account"] == "lab"
        assert asked["cpus_per_task"] == "8", "cores of the site file with each GPU"
        assert "EQUIPOISE_GPUS=1 " in command_of(shown, rule), "the stage is told what its job has"
    for rule in ("prepare_pool", "assemble_attribution", "seal_attribution", "rank", "select_budget", "report"):
        asked = resources(shown, rule)
        assert "gpu" not in asked, rule
        assert "EQUIPOISE_GPUS" not in command_of(shown, rule), rule
        assert not asked.get("gpu_model"), rule
        assert asked["slurm_partition"] == "cpu"


def test_a_cpu_experiment_is_submitted_without_gpus_to_the_cpu_partition(tmp_path):
    """`model.device: cpu` makes `gpu` 0 in every rule; the site file names a GPU model all the same. The Slurm is a stand-in."""
    body = 'rule warm_up:\n    output: "{name}"\n    resources: gpu={gpu}\n    shell: "touch {{output}}"\n'
    site = {"gpu_partition": "big", "cpu_partition": "small", "gpu_model": "a100", "account": "lab", "retries": 0}
    site |= {"slurm-init-seconds-before-status-checks": 1}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    (tmp_path / "bin").mkdir()
    for tool in ("sacctmgr", "sshare", "sinfo", "squeue", "scontrol"):
        (tmp_path / "bin" / tool).write_text("#!/bin/sh\necho lab\n")
    (tmp_path / "bin" / "sbatch").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/submitted\nexit 1\n')
    for tool in (tmp_path / "bin").iterdir():
        tool.chmod(0o755)
    environment = os.environ | {"EQUIPOISE_SITE": str(tmp_path / "site.yaml"), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    submitted = []
    for gpu in (0, 2):
        (tmp_path / "Snakefile").write_text(body.format(name=f"adapter-{gpu}", gpu=gpu))
        command = [sys.executable, "-m", "snakemake", "--profile", str(REPOSITORY / "profiles" / "slurm")]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert (tmp_path / "submitted").exists(), done.stderr[-3000:]
        submitted.append((tmp_path / "submitted").read_text())
        (tmp_path / "submitted").unlink()
    assert " -p small " in submitted[0]
    assert "--gpus" not in submitted[0]
    assert " -p big " in submitted[1]
    assert "--gpus=a100:2" in submitted[1]


def test_a_rule_on_two_gpus_stays_on_two(tiny_values, tmp_path):
    tiny_values["model"]["device"] = "auto"
    tiny_values["training"]["processes"] = 2
    shown = dry_run(tiny_values, tmp_path, {"cores_per_gpu": 12})
    asked = [resources(shown, rule) for rule in ("warm_up", "collect_pool_gradients")]
    assert [(each["gpu"], each["cpus_per_task"]) for each in asked] == [("2", "24"), ("1", "12")]
    assert "EQUIPOISE_GPUS=2 " in command_of(shown, "warm_up")


def test_a_site_changes_one_rule_and_leaves_the_rest(tiny_values, tmp_path):
    plain = dry_run(tiny_values, tmp_path, None)
    changed = dry_run(tiny_values, tmp_path, {"set-resources": {"warm_up": {"runtime": "7 * attempt"}}})
    assert resources(changed, "warm_up")["runtime"] == "7"
    assert resources(changed, "warm_up")["mem_mb"] == resources(plain, "warm_up")["mem_mb"] == "64000"
    assert resources(changed, "rank") == resources(plain, "rank")


def test_git_ignores_the_site_file():
    done = subprocess.run(["git", "check-ignore", "profiles/slurm/site.yaml"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.strip() == "profiles/slurm/site.yaml"
