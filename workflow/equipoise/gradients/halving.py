"""What happens when a batch does not fit into memory: it is halved and goes on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from equipoise.errors import UserError
from equipoise.modelling.chat import Encoded
from equipoise.progress import log

if TYPE_CHECKING:
    from equipoise.gradients.engine import BatchResult, Engine
    from equipoise.gradients.rows import RowMaker


def run_or_halve(engine: "Engine", examples: Sequence[Encoded], maker: "RowMaker", states: Sequence[str]) -> tuple["BatchResult", int]:
    """`engine.run`, in halves where memory does not suffice; returns the result and how many times a batch was cut.

    Raises `UserError` when not even one example fits.
    """
    result = _try(engine, examples, maker, states)
    if result is not None:
        return result, 0
    tokens = max(len(example.input_ids) for example in examples)
    if len(examples) == 1:
        raise UserError(f"one example of {tokens} tokens does not fit into memory; write gradients.activation_checkpointing: true")
    log(f"a batch of {len(examples)} examples of up to {tokens} tokens does not fit into memory; halving it (lower gradients.token_budget)")
    half = (len(examples) + 1) // 2
    (first, cuts_1), (second, cuts_2) = (run_or_halve(engine, part, maker, states) for part in (examples[:half], examples[half:]))
    return _joined(first, second), 1 + cuts_1 + cuts_2


def _try(engine: "Engine", examples: Sequence[Encoded], maker: "RowMaker", states: Sequence[str]) -> "BatchResult | None":
    try:
        return engine.run(examples, maker, states)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "not enough memory" not in str(error):
            raise
    # outside the handler: the traceback would keep the activations
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _joined(first: "BatchResult", second: "BatchResult") -> "BatchResult":
    return type(first)(
        np.concatenate([first.gradients, second.gradients]),
        np.concatenate([first.loss, second.loss]),
        {kind: np.concatenate([state, second.states[kind]]) for kind, state in first.states.items()},
    )
