"""Bases, their tokenizers and templates, and adapters."""

import json
import shutil
from pathlib import Path

from helpers.bad_inputs.case import Case, Make, both, closed, cut, edited, folder_as, pipe_as, raw, text
from helpers.bad_inputs.configurations import changed

CHECK = "check my.yaml"
PREPARE = "prepare_pool --config my.yaml"
CONFIG, INDEX, WEIGHTS, TOKENIZER = "base/config.json", "base/model.safetensors.index.json", "base/model.safetensors", "base/tokenizer.json"


def emptied(folder: Path) -> None:
    """The base's folder without a file."""
    shutil.rmtree(folder / "base")
    (folder / "base").mkdir()


def indexed(content: object) -> Make:
    """Weights in parts, whose index says this."""

    def make(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "base" / "model-00001-of-00001.safetensors")
        (folder / INDEX).write_text(content if isinstance(content, str) else json.dumps(content))

    return make


def adapter_of_rank(rank: int) -> Make:
    """The configuration of an adapter, in the base's folder."""
    return text("base/adapter_config.json", json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 8}))


OWN = changed("model.chat_template", "t.jinja")
CASES = [
    Case("base: an empty folder", emptied, CHECK, ("model.base", "has no config.json")),
    Case("base: a file", both(emptied, lambda f: (f / "base").rmdir(), text("base", "")), CHECK, ("model.base",)),
    Case("base: missing", changed("model.base", "./nowhere"), CHECK, ("model.base: no folder './nowhere'",)),
    Case("base: a very long name", changed("model.base", "x" * 300), CHECK, ("File name too long",)),
    Case("base: config.json empty", cut(CONFIG, 0), CHECK, ("config.json", "not JSON")),
    Case("base: config.json in UTF-16", raw(CONFIG, "{}".encode("utf-16")), CHECK, ("config.json",)),
    Case("base: config.json nested deeply", raw(CONFIG, b"[" * 100_000), CHECK, ("config.json",)),
    Case("base: config.json a list", raw(CONFIG, b"[]"), CHECK, ("config.json holds no keys",)),
    Case("base: config.json a folder", folder_as(CONFIG), CHECK, ("config.json",)),
    Case("base: config.json a pipe", pipe_as(CONFIG), CHECK, ("config.json",)),
    Case("base: config.json not readable", closed(CONFIG), CHECK, ("config.json", "Permission denied"), confined=True),
    Case("base: sizes in words", edited(CONFIG, hidden_size="many"), CHECK, ("model.base",)),
    Case("base: no heads", edited(CONFIG, num_attention_heads=0), CHECK, ("model.base",)),
    Case("base: 10^9 layers", edited(CONFIG, num_hidden_layers=10**9), CHECK, ("model.base",)),
    Case("base: a kind that is a list", edited(CONFIG, model_type=["llama"]), CHECK, ("model.base",)),
    Case("base: a kind that is a number", edited(CONFIG, model_type=3), CHECK, ("model.base",)),
    Case("base: weights empty", cut(WEIGHTS, 0), CHECK, ("model.base", "cannot be loaded")),
    Case("base: weights cut", cut(WEIGHTS, 500), CHECK, ("model.base", "cannot be loaded")),
    Case("base: weights a folder", folder_as(WEIGHTS), CHECK, ("model.base",)),
    Case("base: weights a pipe", pipe_as(WEIGHTS), CHECK, ("model.safetensors",)),
    Case("base: an index that is broken", indexed("{"), CHECK, ("model.safetensors.index.json",)),
    Case("base: an index without a map", indexed({"metadata": {}}), CHECK, ("model.safetensors.index.json",)),
    Case("base: an index of numbers", indexed({"weight_map": {"a": 3}}), CHECK, ("model.safetensors.index.json",)),
    Case("base: an index that is a list", indexed([]), CHECK, ("model.safetensors.index.json",)),
    Case("base: an index that leads out", indexed({"weight_map": {"a": "../m.npy"}}), CHECK, ("../m.npy is missing",)),
    Case("base: an adapter of rank 10^9 beside it", adapter_of_rank(10**9), CHECK, ("model.base", "holds an adapter")),
    Case("base: an adapter of rank 10^9 alone", both(emptied, adapter_of_rank(10**9)), CHECK, ("holds an adapter, no base",)),
    Case("base: an empty folder, said by the stage", emptied, "check_base --config my.yaml", ("model.base", "has no config.json")),
    Case("base: an adapter of rank 10^9, said by the stage", adapter_of_rank(10**9), "check_base --config my.yaml", ("holds an adapter",)),
    Case("tokenizer: empty", cut(TOKENIZER, 0), PREPARE, ("the tokenizer of base cannot be read",)),
    Case("tokenizer: a list", raw(TOKENIZER, b"[]"), PREPARE, ("the tokenizer of base cannot be read",)),
    Case("tokenizer: binary", raw(TOKENIZER, bytes(range(256))), PREPARE, ("the tokenizer of base cannot be read",)),
    Case("tokenizer: a folder", folder_as(TOKENIZER), PREPARE, ("model.base", "tokenizer")),
    Case("tokenizer: a pipe", pipe_as(TOKENIZER), PREPARE, ("base/tokenizer.json: not a regular file",)),
    Case("tokenizer: none", lambda f: [path.unlink() for path in (f / "base").glob("tokenizer*")], PREPARE, ("base has no tokenizer",)),
    Case("tokenizer: a broken configuration", text("base/tokenizer_config.json", "{"), PREPARE, ("the tokenizer of base cannot be read",)),
    Case("tokenizer: no end", edited("base/tokenizer_config.json", eos_token=None), PREPARE, ("has no eos token",)),
    Case("template: missing", changed("model.chat_template", "n.jinja"), PREPARE, ("model.chat_template: n.jinja: no such file",)),
    Case("template: a folder", changed("model.chat_template", "base"), PREPARE, ("model.chat_template: base",)),
    Case("template: a pipe", both(pipe_as("t.jinja"), OWN), PREPARE, ("t.jinja", "not a regular file")),
    Case("template: broken", both(text("t.jinja", "{% for %}"), OWN), PREPARE, ("t.jinja",)),
    Case("template: Latin-1", both(raw("t.jinja", b"\xe9"), OWN), PREPARE, ("t.jinja", "UTF-8")),
    Case("template: no text of the turns", both(text("t.jinja", "hello"), OWN), PREPARE, ("t.jinja",)),
]  # fmt: skip
