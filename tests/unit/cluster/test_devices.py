"""GPUs of a workstation: a job that needs more than there are."""

import pytest
import yaml

from equipoise.cluster import devices
from equipoise.cluster.devices import take_devices
from equipoise.config_file import parse_config
from equipoise.errors import UserError


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


def test_more_gpus_than_there_are_is_an_error_at_once(on_gpu, tiny_values):
    tiny_values["training"] |= {"processes": 4, "micro_batch_size": 2}
    with pytest.raises(UserError, match="needs 4 GPUs"):
        take_devices(parse_config(tiny_values), "fine_tune")
