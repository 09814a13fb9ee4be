"""Training examples from prepared files: texts to tokens, rows without a completion token left out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equipoise.config import Experiment
from equipoise.conversation.reading import Summary, read_files
from equipoise.data.encoding import BLOCK, encode_file, told_of_cut
from equipoise.data.pool import pool_options
from equipoise.errors import UserError
from equipoise.inputs import read_jsonl
from equipoise.modelling.chat import encode_conversations
from equipoise.modelling.examples import Examples, gathered, open_examples
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.training.resumption import open_scratch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHARED = "examples"
"""Folder of a training's scratch."""


def pool_examples(
    config: Experiment, tokenizer: "PreTrainedTokenizerBase", pool_path: str | Path, rows: Sequence[int] | None = None
) -> Examples:
    """Encoded pool examples, `rows` in that order or all in pool order; rows without a completion token are left out."""
    chosen = None if rows is None else np.asarray(rows, np.int64)
    last_turn = config.training.last_turn
    return _with_completion(encode_file(pool_path, tokenizer, config.model.max_length, last_turn=last_turn, chosen=chosen))


def warmup_examples(config: Experiment, tokenizer: "PreTrainedTokenizerBase", pool_path: str | Path | None, seed: int = 0) -> Examples:
    """What a selection model warms up on: `warmup.files` where given, else the pool; a share of it, drawn by seed, if asked for.

    seed: of the warm-up, so that each draws a share of its own.
    """
    examples = _file_examples(config, tokenizer) if config.warmup.files else pool_examples(config, tokenizer, pool_path)
    if config.warmup.fraction < 1:
        size = max(1, int(config.warmup.fraction * len(examples)))
        chosen = np.random.default_rng(warmup_seed(config, "fraction", seed)).choice(len(examples), size, replace=False)
        examples = examples.take(np.sort(chosen))
    return examples


def warmup_seed(config: Experiment, purpose: str, seed: int) -> int:
    """What the warm-up of a seed draws by, for a purpose; the draws of seed 0 depend on the experiment's seed alone."""
    return derive_seed(config.seed, f"warmup.{purpose}", *([seed] if seed else []))


def _file_examples(config: Experiment, tokenizer: "PreTrainedTokenizerBase") -> Examples:
    """Examples of `warmup.files` with a completion token; what was read and cut is logged."""
    summary, longest, last_turn = Summary(), config.model.max_length, config.training.last_turn
    records = read_files(config.warmup.files, replace(pool_options(config.pool), limit=None), summary)
    blocks = iter(lambda: list(islice(records, BLOCK)), [])
    examples = gathered(
        encode_conversations(tokenizer, [each.messages for each in block], longest, last_turn, [each.tools for each in block])
        for block in blocks
    )
    for line in summary.lines():
        log(f"warmup.files: {line}")
    if said := told_of_cut(sum(example.cut for example in examples), len(examples), longest, "model.max_length"):
        log(f"warmup.files: {said}")
    return _with_completion(examples)


def encoded_once(scratch: Path, identity: str, encode: Callable[[], Examples]) -> Examples:
    """The examples of a training: those that the process which started the training processes has left for them, else encoded here.

    scratch: open for inputs of fingerprint `identity`, which determines the examples.
    """
    shared = open_examples(scratch / SHARED, identity)
    return encode() if shared is None else shared


def share_examples(scratch: Path, identity: str, encode: Callable[[], Examples]) -> None:
    """Leaves the examples of a training for its processes, which map them into memory: encoded once, held once.

    Called before these processes start. Nothing is encoded again after a kill.
    """
    open_scratch(scratch, identity)
    if open_examples(scratch / SHARED, identity) is None:
        encode().save(scratch / SHARED, identity)


def selected_rows(selection_path: str | Path) -> list[int]:
    """Pool rows of a selection.jsonl, in rank order. Raises `UserError` when it holds none."""
    rows = [line["row"] for _, line in read_jsonl(selection_path)]
    if not rows:
        raise UserError(f"{selection_path}: an empty selection; delete it and run again")
    return rows


def _with_completion(examples: Examples) -> Examples:
    kept = np.flatnonzero(examples.completions > 0)
    if not len(kept):
        raise UserError("training: no example has a completion token left; raise model.max_length")
    return examples if len(kept) == len(examples) else examples.take(kept)
