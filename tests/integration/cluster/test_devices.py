"""GPUs of a workstation: every job its own, free again however a job ends."""

import os
import subprocess
import sys

import pytest
import yaml

from equipoise.cluster import devices
from equipoise.cluster.devices import offer_devices, take_devices
from equipoise.config_file import parse_config
from equipoise.errors import UserError

TAKE = """
import os, sys
from equipoise.cluster.devices import take_devices
from equipoise.config_file import read_config
take_devices(read_config(sys.argv[1]), sys.argv[2])
print(os.environ.get("CUDA_VISIBLE_DEVICES", "all"), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def on_gpu(tiny_values, tmp_path, monkeypatch):
    """Path of a GPU experiment's configuration on a machine of two devices, locks below `tmp_path`."""
    tiny_values["model"]["device"] = "auto"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(devices.tempfile, "tempdir", None)
    monkeypatch.setenv("EQUIPOISE_DEVICES", "0,3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = tmp_path / "experiment.yaml"

    def write(**training) -> str:
        path.write_text(yaml.safe_dump(tiny_values | {"training": tiny_values["training"] | training}))
        return str(path)

    return write


def start(path: str, stage: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", TAKE, path, stage], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_jobs_get_different_devices_and_a_third_waits_for_one(on_gpu):
    path = on_gpu()
    first, second = start(path, "collect_pool_gradients"), start(path, "evaluate")
    seen = {first.stdout.readline().strip(), second.stdout.readline().strip()}
    assert seen == {"0", "3"}
    third = start(path, "collect_pool_gradients")
    with pytest.raises(subprocess.TimeoutExpired):
        third.wait(3)
    first.kill()
    first.wait()
    assert third.stdout.readline().strip() in seen
    for process in (second, third):
        process.communicate("\n")


def test_a_training_on_two_gpus_takes_two_together(on_gpu):
    both = start(on_gpu(processes=2), "warm_up")
    assert both.stdout.readline().strip() == "0,3"
    both.communicate("\n")


def test_cpu_stages_and_cpu_experiments_take_none(on_gpu, tiny_config, monkeypatch):
    cpu_stage = start(on_gpu(), "assemble_attribution")
    assert cpu_stage.stdout.readline().strip() == "all"
    cpu_stage.communicate("\n")
    take_devices(tiny_config.model_copy(update={"model": tiny_config.model.model_copy(update={"device": "cpu"})}), "warm_up")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_more_gpus_than_there_are_is_an_error_at_once(on_gpu, tiny_values):
    tiny_values["training"] |= {"processes": 4, "micro_batch_size": 2}
    with pytest.raises(UserError, match="needs 4 GPUs"):
        take_devices(parse_config(tiny_values), "fine_tune")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose nvidia-smi runs the given shell script; no list of devices is set."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("EQUIPOISE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # so that its absence is restored
        monkeypatch.delenv(name)

    def write(script: str) -> None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return write


def test_without_a_list_the_machine_is_asked(machine):
    machine("printf '0\\n1\\n2\\n'")
    assert offer_devices() == ["0", "1", "2"]
    assert os.environ["EQUIPOISE_DEVICES"] == "0,1,2"


def test_what_a_failing_nvidia_smi_says_is_no_device(machine):
    machine('echo "NVIDIA-SMI has failed because it could not communicate with 1 driver"; exit 9')
    assert offer_devices() == []


def test_words_between_the_numbers_are_no_devices(machine):
    machine("printf 'No devices were found\\n'")
    assert offer_devices() == []


@pytest.mark.parametrize(
    ("named", "offered"), [("2,3", ["2", "3"]), ("GPU-8932f937", ["GPU-8932f937"]), ("", []), ("-1", []), ("1,-1,0", ["1"])]
)
def test_devices_that_the_user_has_hidden_are_not_offered(machine, monkeypatch, named, offered):
    machine("printf '0\\n1\\n2\\n3\\n'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert offer_devices() == offered
