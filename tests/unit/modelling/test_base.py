"""A base is its safetensors, configuration and tokenizer; and where it is put."""

import shutil

import pytest
import torch

from equipoise.config import Model
from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.modelling.base import base_identity, load_base, resolve_device


def test_a_base_is_known_by_the_files_that_are_used(tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "base")
    model = Model(name="tiny", base=str(tmp_path / "base"))
    identity = base_identity(model)
    for name in ("consolidated.safetensors", "README.md", "onnx/config.json"):
        (tmp_path / "base" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "base" / name).write_text("{}")
    assert base_identity(model) == identity
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= identity.keys()
    (tmp_path / "base" / "merges.txt").write_text("a b")
    assert base_identity(model) == identity | {"merges.txt": file_digest(tmp_path / "base" / "merges.txt")}


@pytest.mark.parametrize(("device", "placed"), [("auto", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0"), ("cpu", "cpu")])
def test_each_training_process_has_a_gpu_of_its_own(monkeypatch, device, placed):
    monkeypatch.setattr("equipoise.modelling.device._log_once", lambda place: None)  # it asks the GPU for its name
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device(device) == torch.device(placed)


def test_a_base_goes_to_its_gpu_tensor_by_tensor(tiny_config, monkeypatch):
    """What transformers is asked for: the host never holds the whole base."""
    from transformers import AutoModelForCausalLM

    real, asked = AutoModelForCausalLM.from_pretrained, []

    def loaded(*arguments, device_map, **named):
        asked.append(device_map)
        base, told = real(*arguments, device_map=None, **named)
        base.to = lambda device: base
        return base, told

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", loaded)
    load_base(tiny_config.model, "bf16", "cuda:1")
    assert asked == [{"": torch.device("cuda", 1)}]


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_one_line(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch sees no GPU here; write auto or cpu"):
        resolve_device(device)


def test_answers_keep_their_spaces_whatever_the_tokenizers_configuration_says(tiny_base, tmp_path):
    import json

    from equipoise.modelling.base import load_tokenizer

    shutil.copytree(tiny_base, tmp_path / "base")
    path = tmp_path / "base" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clean_up_tokenization_spaces": True}))
    assert load_tokenizer(Model(name="tiny", base=str(tmp_path / "base"))).clean_up_tokenization_spaces is False
