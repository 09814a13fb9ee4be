"""Reads and encodes the examples whose gradients are collected."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipoise.errors import UserError
from equipoise.modelling.chat import Encoded, encode_many

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_file(
    path: str | Path, tokenizer: "PreTrainedTokenizerBase", max_length: int, start: int = 0, stop: int | None = None
) -> list[Encoded]:
    """Rows [start, stop) of pool.parquet or validation.parquet as tokens; rows with `chat` false are encoded without the template."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the stage that writes it") from None
    columns = [name for name in ("prompt", "response", "chat") if name in file.schema_arrow.names]
    rows, first = [], 0
    for group in range(file.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        low, high = max(start, first), last if stop is None else min(stop, last)
        if low < high:
            rows += file.read_row_group(group, columns=columns).slice(low - first, high - low).to_pylist()
        first = last
    return encode_rows(rows, tokenizer, max_length)


def encode_rows(rows: list[dict], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> list[Encoded]:
    """Rows with `prompt`, `response` and perhaps `chat` (default true) as tokens."""
    encoded: list[Encoded | None] = [None] * len(rows)
    for chat in (True, False):
        places = [place for place, row in enumerate(rows) if row.get("chat", True) == chat]
        texts = [[rows[place][column] for place in places] for column in ("prompt", "response")]
        for place, example in zip(places, encode_many(tokenizer, *texts, max_length, chat), strict=True):
            encoded[place] = example
    return encoded


def examples_digest(examples: Sequence[Encoded]) -> str:
    """SHA-256 of the examples' tokens and prompt lengths."""
    total = hashlib.sha256()
    for example in examples:
        total.update(np.array([len(example.input_ids), example.prompt_length, *example.input_ids], "<i8").tobytes())
    return total.hexdigest()
