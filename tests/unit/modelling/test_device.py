"""A stage that was given GPUs and sees none, or too few, stops in one line; what it computes on is said once."""

import pytest
import torch

from equipoise.errors import UserError
from equipoise.modelling import device
from equipoise.modelling.base import resolve_device
from equipoise.process import THREAD_VARIABLES


@pytest.fixture
def given(monkeypatch, capsys):
    """Sets what the rule and the place say: given(gpus, **variables)."""
    for name in (device.ASKED, device.ON_CLUSTER, device.TAKEN, device.STAND_IN, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    device._log_once.cache_clear()

    def given(gpus: str, **variables: str) -> None:
        monkeypatch.setenv(device.ASKED, gpus)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return given


def test_on_a_cluster_auto_without_the_gpus_asked_for_is_refused_in_one_line(given):
    given("2", EQUIPOISE_ON_CLUSTER="1", CUDA_VISIBLE_DEVICES="")
    with pytest.raises(
        UserError, match=r"given 2 GPUs, but torch sees 0 \(torch \S+, built without CUDA; CUDA_VISIBLE_DEVICES ''; driver "
    ):
        resolve_device("auto")


def test_on_a_workstation_that_shares_its_gpus_out_too(given):
    given("1", EQUIPOISE_DEVICES="0,1")
    with pytest.raises(UserError, match=r"given 1 GPUs, but torch sees 0 .*CUDA_VISIBLE_DEVICES is not set"):
        resolve_device("auto")


def test_fewer_than_asked_for_are_refused_and_enough_are_not(given):
    given("2", EQUIPOISE_ON_CLUSTER="1")
    with pytest.raises(UserError, match="given 2 GPUs, but torch sees 1 "):
        device.refuse_missing_gpus("cuda", 1)
    device.refuse_missing_gpus("cuda", 2)


@pytest.mark.parametrize(("gpus", "place"), [("1", {}), ("0", {"EQUIPOISE_ON_CLUSTER": "1"}), ("", {"EQUIPOISE_ON_CLUSTER": "1"})])
def test_auto_is_the_cpu_where_no_gpu_was_given(given, gpus, place):
    given(gpus, **place)
    assert resolve_device("auto") == torch.device("cpu")


def test_a_configuration_that_says_cpu_means_it(given):
    given("1", EQUIPOISE_ON_CLUSTER="1")
    assert resolve_device("cpu") == torch.device("cpu")


def test_stand_in_gpus_are_said_by_hand_and_logged(given, capsys):
    given("1", EQUIPOISE_ON_CLUSTER="1", EQUIPOISE_STAND_IN_GPUS="1")
    assert resolve_device("auto") == torch.device("cpu")
    assert "EQUIPOISE_STAND_IN_GPUS is set: given 1 GPUs, computing on the cpu" in capsys.readouterr().err


def test_the_device_is_logged_once(given, capsys):
    given("0")
    resolve_device("auto")
    resolve_device("cpu")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "device cpu:" in line)
    assert f"torch {torch.__version__}" in line
    assert "threads" in line


def test_on_a_gpu_cudnn_attention_is_off_and_the_gpu_is_described(given, capsys, monkeypatch):
    """With the calls that need a GPU replaced."""
    given("1", EQUIPOISE_ON_CLUSTER="1")
    switched = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", lambda on: switched.append(on))
    held = type("Held", (), {"name": "NVIDIA H100", "total_memory": 85e9})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: held)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    assert switched == [False]
    assert "device cuda:0: NVIDIA H100, 85 GB, driver " in capsys.readouterr().err


def test_every_stage_on_a_device_runs_with_deterministic_algorithms(given, tiny_config, monkeypatch, capsys):
    """Warm-up and collection; torch refuses what it cannot do in a fixed order. On a CPU the bytes are those without."""
    from pathlib import Path

    from equipoise.config_file import parse_config
    from equipoise.data.pool import prepare_pool
    from equipoise.gradients.collect import collect_pool_gradients
    from equipoise.process import DETERMINISTIC, prepare_process
    from equipoise.store.manifest import read_manifest
    from equipoise.training.warm_up import warm_up

    given("0")
    values = tiny_config.model_dump()
    for name in (DETERMINISTIC, "CUBLAS_WORKSPACE_CONFIG", *THREAD_VARIABLES, "PYTORCH_ALLOC_CONF"):
        monkeypatch.setenv(name, "")  # restored at the end
    digests = []
    for deterministic in (False, True):
        values["results"] = str(Path(tiny_config.results) / str(deterministic))
        config = parse_config(values | {"model": values["model"] | {"deterministic": deterministic}})
        prepare_process(config, "warm_up")
        device._log_once.cache_clear()
        try:
            prepare_pool(config)
            warm_up(config)
            collect_pool_gradients(config, [1], 0)
            assert torch.are_deterministic_algorithms_enabled() == deterministic
        finally:
            torch.use_deterministic_algorithms(False)
        digests.append(read_manifest(config.layout.pool_gradients_manifest(1, "00000"), "pool_gradients")["digest"])
    assert digests[0] == digests[1]
    assert "deterministic algorithms" in capsys.readouterr().err
