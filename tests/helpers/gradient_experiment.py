"""A whole small experiment up to the gradient stages: a random base with a byte tokenizer, a pool, targets, epoch checkpoints."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from equipoise.config import Experiment, Lora, Model
from equipoise.data.pool import prepare_pool
from equipoise.layout import Layout
from equipoise.modelling.adapter import attach_adapter, lora_parameters
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.checkpoint import save_checkpoint
from equipoise.store.manifest import write_manifest

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
WORDS = [
    "seven",
    "green",
    "birds",
    "fly",
    "over",
    "the",
    "old",
    "bridge",
    "near",
    "a",
    "quiet",
    "mill",
    "and",
    "sing",
    "until",
    "late",
    "evening",
    "comes",
]


def save_base(folder: Path, architecture: str = "llama", **changes: object) -> Path:
    """A random model of an architecture with a byte-level tokenizer of 258 tokens, as a folder."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(1)
    config = AutoConfig.for_model(architecture, vocab_size=len(vocabulary), bos_token_id=0, eos_token_id=1, **(SIZES | changes))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def random_adapter(base: torch.nn.Module, lora: Lora, seed: int):
    """An adapter whose B is not zero, in eval mode."""
    model = attach_adapter(base, lora, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora_parameters(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def write_checkpoint(folder: str, model_config: Model, lora: Lora, epoch: int) -> None:
    """An epoch checkpoint of a random adapter after two real Adam steps on random gradients."""
    model = random_adapter(load_base(model_config, "fp32", "cpu"), lora, epoch)
    parameters = list(lora_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    generator = torch.Generator().manual_seed(100 + epoch)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
        optimizer.step()
    save_checkpoint(folder, model, load_tokenizer(model_config), optimizer, epoch, 2 * epoch, 1e-4 / epoch, "warm-up")


def sentence(number: int, words: int) -> str:
    """A text that depends on its arguments alone."""
    return " ".join(WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(words))


def make_experiment(folder: Path, rows: int = 20, epochs: int = 2, validation: int = 3, **sections: dict) -> Experiment:
    """Config and everything the gradient stages read. Row 4 of the pool has no completion token left after truncation."""
    base = folder / "base"
    if not base.exists():
        save_base(base)
    pool = folder / "pool.jsonl"
    records = [
        {"id": f"p{i}", "prompt": sentence(i, 200 if i == 4 else 1 + i % 3), "response": sentence(i + 1, 1 + i % 4)} for i in range(rows)
    ]
    pool.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    tasks = {name: {"capability": "test", "files": [str(pool)]} for name in ("alpha", "beta")}
    values = {
        "experiment": "test",
        "results": str(folder / "results"),
        "model": {"name": "tiny", "base": str(base), "precision": "fp32", "max_length": 96, "device": "cpu"},
        "lora": {"rank": 4, "alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]},
        "pool": {"files": [str(pool)]},
        "tasks": tasks,
        "warmup": {"epochs": epochs},
        "gradients": {"precision": "fp32", "token_budget": 400, "projection": {"dimension": 64}},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes} if isinstance(changes, dict) else changes
    config = Experiment(**values)
    layout = config.layout
    prepare_pool(config)
    for number, task in enumerate(config.tasks):
        write_target(layout, task, [(sentence(50 * (number + 1) + i, 2), sentence(i, 3), i != 1) for i in range(validation)])
    for epoch in range(1, epochs + 1):
        if not Path(layout.checkpoint(epoch)).exists():
            write_checkpoint(layout.checkpoint(epoch), config.model, config.lora, epoch)
    return config


def write_target(layout: Layout, task: str, rows: list[tuple[str, str, bool]]) -> None:
    """validation.parquet and its manifest of a task, from (prompt, response, chat)."""
    path = Path(layout.target(task))
    path.parent.mkdir(parents=True, exist_ok=True)
    prompts, responses, chat = zip(*rows, strict=True)
    ids = [f"{task}-{i}" for i in range(len(rows))]
    pq.write_table(pa.table({"id": ids, "task": [task] * len(rows), "prompt": prompts, "response": responses, "chat": chat}), path)
    write_manifest(layout.target_manifest(task), "targets", task=task, rows=len(rows))
