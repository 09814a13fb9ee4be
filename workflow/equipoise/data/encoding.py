"""Reads and encodes the examples whose gradients are collected."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipoise.errors import UserError
from equipoise.modelling.chat import Encoded, encode_conversations, encode_many
from equipoise.modelling.examples import Examples, gathered

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from transformers import PreTrainedTokenizerBase

COLUMNS = ("prompt", "response", "messages", "tools", "chat")
BLOCK = 1024
"""Rows that are text or lists of tokens at a time."""
MOST_CUT = 0.01
"""Share of examples without their end beyond which a log warns."""


def encode_file(
    path: str | Path,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    start: int = 0,
    stop: int | None = None,
    *,
    last_turn: bool = False,
    chosen: np.ndarray | None = None,
) -> Examples:
    """Rows [start, stop) of pool.parquet or validation.parquet, or of the `chosen` rows of it, as tokens; see `encode_rows`.

    `chosen` may be in any order, which is kept. Of text and of lists of tokens, no more than a row group and a block are held.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the stage that writes it") from None
    wanted = (np.arange(file.metadata.num_rows) if chosen is None else np.asarray(chosen, np.int64))[start:stop]
    order = np.argsort(wanted, kind="stable")
    found = gathered(
        encode_rows(rows, tokenizer, max_length, last_turn=last_turn) for rows in _row_blocks(file, text_columns(file), wanted[order])
    )
    return found if (order[1:] > order[:-1]).all() else found.take(np.argsort(order, kind="stable"))


def _row_blocks(file: "pq.ParquetFile", columns: list[str], wanted: np.ndarray) -> Iterator[list[dict]]:
    """Rows of a file by their sorted numbers, a block at a time."""
    first = 0
    for group in range(file.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last)] - first
        if len(here):
            table = file.read_row_group(group, columns=columns)
            for place in range(0, len(here), BLOCK):
                yield table.take(here[place : place + BLOCK]).to_pylist()
        first = last
    if len(wanted) and wanted[-1] >= first:
        raise IndexError(f"row {wanted[-1]} of {first}")


def text_columns(file: "pq.ParquetFile") -> list[str]:
    """The columns of a file that `encode_rows` reads."""
    return [name for name in COLUMNS if name in file.schema_arrow.names]


def encode_rows(rows: Sequence[dict], tokenizer: "PreTrainedTokenizerBase", max_length: int, *, last_turn: bool = False) -> list[Encoded]:
    """Rows as tokens: `messages` and `tools` (JSON), or where there are none `prompt` and `response`; these two bare where `chat` is false.

    last_turn: loss on the last assistant turn alone.
    """
    encoded: list[Encoded | None] = [None] * len(rows)
    kinds = [("plain" if row.get("messages") is None else "turns") if row.get("chat", True) else "bare" for row in rows]
    for kind in dict.fromkeys(kinds):
        places = [place for place, each in enumerate(kinds) if each == kind]
        if kind == "turns":
            conversations = [json.loads(rows[place]["messages"]) for place in places]
            tools = [json.loads(rows[place].get("tools") or "null") for place in places]
            ready = encode_conversations(tokenizer, conversations, max_length, last_turn, tools)
        else:
            texts = [[rows[place][column] for place in places] for column in ("prompt", "response")]
            ready = encode_many(tokenizer, *texts, max_length, kind == "plain")
        for place, example in zip(places, ready, strict=True):
            encoded[place] = example
    return encoded


def told_of_cut(cut: int, examples: int, max_length: int, key: str) -> str:
    """What a log says of examples that lose their last end token at `max_length`, the value of `key`; nothing where none does."""
    if not cut:
        return ""
    said = f"{cut:,} of {examples:,} examples ({cut / examples:.1%}) are cut before their last end token at {key} {max_length:,}"
    return f"WARNING: {said}: a model trained on many of them does not learn to end" if cut > MOST_CUT * examples else said


def examples_digest(examples: Sequence[Encoded]) -> str:
    """SHA-256 of the examples' tokens and which of them have a loss."""
    total = hashlib.sha256()
    for example in examples:
        length, gaps = len(example.input_ids), [*chain(*example.gaps)]
        sizes = [-length, len(gaps), *gaps] if gaps else [length]
        total.update(np.array([*sizes, example.prompt_length, *example.input_ids], "<i8").tobytes())
    return total.hexdigest()
