"""A base is its safetensors, configuration and tokenizer."""

import shutil

from equipoise.config import Model
from equipoise.files import file_digest
from equipoise.modelling.base import base_identity


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
