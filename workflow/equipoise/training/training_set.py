"""Training examples from prepared files: texts to tokens, rows without a completion token left out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.config import Experiment
from equipoise.conversation.reading import Summary, read_files
from equipoise.data.encoding import encode_rows, text_columns, told_of_cut
from equipoise.data.pool import pool_options
from equipoise.errors import UserError
from equipoise.inputs import read_jsonl
from equipoise.modelling.chat import Encoded, encode_conversations
from equipoise.progress import log
from equipoise.seeds import derive_seed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def pool_examples(
    config: Experiment, tokenizer: "PreTrainedTokenizerBase", pool_path: str | Path, rows: list[int] | None = None
) -> list[Encoded]:
    """Encoded pool examples, `rows` in that order or all in pool order; rows without a completion token are left out."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pool_path)
    table = file.read(text_columns(file))
    wanted = (table if rows is None else table.take(rows)).to_pylist()
    return _with_completion(encode_rows(wanted, tokenizer, config.model.max_length, last_turn=config.training.last_turn))


def warmup_examples(config: Experiment, tokenizer: "PreTrainedTokenizerBase", pool_path: str | Path | None) -> list[Encoded]:
    """What the selection model warms up on: `warmup.files` where given, else the pool; a seeded share of it if asked for."""
    if config.warmup.files:
        summary = Summary()
        records = list(read_files(config.warmup.files, replace(pool_options(config.pool), limit=None), summary))
        for line in summary.lines():
            log(f"warmup.files: {line}")
        turns, tools = [record.messages for record in records], [record.tools for record in records]
        encoded = encode_conversations(tokenizer, turns, config.model.max_length, config.training.last_turn, tools)
        if said := told_of_cut(sum(example.cut for example in encoded), len(encoded), config.model.max_length, "model.max_length"):
            log(f"warmup.files: {said}")
        examples = _with_completion(encoded)
    else:
        examples = pool_examples(config, tokenizer, pool_path)
    if config.warmup.fraction < 1:
        import numpy as np

        size = max(1, int(config.warmup.fraction * len(examples)))
        chosen = np.random.default_rng(derive_seed(config.seed, "warmup.fraction")).choice(len(examples), size, replace=False)
        examples = [examples[i] for i in sorted(chosen)]
    return examples


def selected_rows(selection_path: str | Path) -> list[int]:
    """Pool rows of a selection.jsonl, in rank order. Raises `UserError` when it holds none."""
    rows = [line["row"] for _, line in read_jsonl(selection_path)]
    if not rows:
        raise UserError(f"{selection_path}: an empty selection; delete it and run again")
    return rows


def _with_completion(examples: list[Encoded]) -> list[Encoded]:
    kept = [example for example in examples if example.completion_tokens > 0]
    if not kept:
        raise UserError("training: no example has a completion token left; raise model.max_length")
    return kept
