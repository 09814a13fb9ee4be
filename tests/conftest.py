"""Shared fixtures: a tiny random base of Llama architecture with a word-level tokenizer, and configurations around it."""

import os
from pathlib import Path

import pytest

from helpers.places import SHARED
from helpers.rows import WORDS, texts, write_jsonl

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: a long file that is begun last keeps one worker busy while the others have nothing left."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """Folder of a random 2-layer Llama (hidden 32, grouped-query attention) in safetensors with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    specials = ["<pad>", "<bos>", "<eos>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*specials, "<|user|>", "<|assistant|>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture
def tiny_values(tiny_base, tmp_path) -> dict:
    """Raw values of a small valid experiment below `tmp_path`: 40 pool rows, two jsonl tasks of 4 validation examples."""
    return {
        "experiment": "tiny",
        "results": str(tmp_path / "results"),
        "budgets": [0.1, 0.2],
        "selectors": ["random", "task_max", "bids", "full"],
        "model": {"name": "tiny", "base": str(tiny_base), "precision": "fp32", "max_length": 32, "device": "cpu"},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "pool": {"files": [write_jsonl(tmp_path / "pool.jsonl", texts(40))]},
        "targets": {"size": 4},
        "tasks": {
            "first": {"capability": "logic", "files": [write_jsonl(tmp_path / "first.jsonl", texts(6, 3))]},
            "second": {"capability": "math", "files": [write_jsonl(tmp_path / "second.jsonl", texts(6, 11))]},
        },
        "training": {
            "batch_size": 8,
            "micro_batch_size": 4,
            "learning_rate": 0.01,
            "schedule": "linear",
            "report_to": [],
        },
        "warmup": {"epochs": 2},
        "gradients": {"precision": "fp32", "token_budget": 256, "projection": {"dimension": 64}},
        "finetune": {"epochs": 1, "full_epochs": [1], "seeds": [0]},
    }


@pytest.fixture
def tiny_config(tiny_values):
    """`tiny_values`, validated."""
    from equipoise.config_file import parse_config

    return parse_config(tiny_values)


@pytest.fixture
def shared_hub() -> Path:
    """Folder of the loopback hub; skips where it is absent (a user's clone has none)."""
    if not (SHARED / "hub" / "serve.py").exists():
        pytest.skip(f"no loopback hub at {SHARED / 'hub'}")
    return SHARED / "hub"


@pytest.fixture(scope="session")
def sandbox_modes() -> set[str]:
    """The modes of the sandbox that work on this machine."""
    from equipoise.config import Sandbox
    from equipoise.errors import UserError
    from equipoise.evaluation.sandbox import check_sandbox

    found = set()
    for mode in ("namespaces", "process"):
        try:
            check_sandbox(Sandbox(mode=mode))
            found.add(mode)
        except UserError as error:
            print(mode, error)
    return found


@pytest.fixture(params=["namespaces", "process"])
def confined(request, sandbox_modes):
    """Settings of the sandbox with tight limits, once for every mode."""
    from equipoise.config import Sandbox

    if request.param not in sandbox_modes:
        pytest.skip(f"this machine does not allow sandbox.mode {request.param}")
    return Sandbox(mode=request.param, seconds=2, memory_mb=512)


@pytest.fixture
def own_namespaces(sandbox_modes):
    """Settings of the sandbox in namespaces."""
    from equipoise.config import Sandbox

    if "namespaces" not in sandbox_modes:
        pytest.skip("this machine does not allow namespaces")
    return Sandbox(mode="namespaces", seconds=5, memory_mb=512)
