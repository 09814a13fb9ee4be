"""Batched decoding that drops finished rows: otherwise small models on CPUs spend their time on rows that ended long ago."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

STOP_CHECK_INTERVAL = 8
KEEP_SHARE = 0.9


def decode(
    model: "PreTrainedModel",
    context: "torch.Tensor",
    attention_mask: "torch.Tensor",
    max_length: int,
    eos: int,
    pad: int,
    stopped: Callable[[Sequence[list[int]]], list[bool]],
    temperature: float = 0.0,
) -> "torch.Tensor":
    """Continues left-padded contexts greedily, or by plain sampling at a temperature, up to `max_length` tokens in all.

    context, attention_mask: int64 [n, length]. Returns int64 [n, length + generated]; after a row's eos comes `pad`. `stopped` says which
    generated rows of tokens hold a stop string. It is asked now and then, so a row may run on a little behind one: the
    caller cuts the text. Sampling draws from torch's global generator.
    """
    import torch
    from transformers import DynamicCache

    n, length = context.shape
    out = torch.full((n, max_length), pad, dtype=torch.int64, device=context.device)
    out[:, :length] = context
    rows = torch.arange(n, device=context.device)
    cache = DynamicCache(config=model.config)
    step, mask = context, attention_mask
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    alive = torch.ones(n, dtype=torch.bool, device=context.device)
    end = length
    with torch.inference_mode():
        while end < max_length:
            logits = model(
                input_ids=step, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits[:, -1]
            logits = logits.float()
            token = logits.argmax(-1) if temperature == 0.0 else torch.softmax(logits / temperature, dim=-1).multinomial(1).squeeze(-1)
            out[rows[alive], end] = token[alive]
            end += 1
            alive &= token != eos
            if (end - length) % STOP_CHECK_INTERVAL == 0 and alive.any():
                live = alive.nonzero().squeeze(-1)
                hit = torch.tensor(stopped(out[rows[live], length:end].tolist()), device=context.device)
                alive[live[hit]] = False
            left = int(alive.sum())
            if left == 0:
                break
            if left <= KEEP_SHARE * len(rows):
                kept = alive.nonzero().squeeze(-1)
                cache.batch_select_indices(kept)
                rows, token, mask, positions, alive = rows[kept], token[kept], mask[kept], positions[kept], alive[kept]
            step = token[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return out[:, :end]
