"""Batched decoding that drops finished rows: otherwise small models on CPUs spend their time on rows that ended long ago."""

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from equipoise.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

STOP_CHECK_INTERVAL = 8
KEEP_SHARE = 0.9
CACHES = ("past_key_values", "cache_params")
"""What models call the cache that they take and give back."""


def decode(
    model: "PreTrainedModel",
    context: "torch.Tensor",
    attention_mask: "torch.Tensor",
    max_length: int,
    eos: int | Collection[int],
    pad: int,
    stopped: Callable[[Sequence[list[int]]], list[bool]],
    temperature: float = 0.0,
) -> "torch.Tensor":
    """Continues left-padded contexts greedily, or by plain sampling at a temperature, up to `max_length` tokens in all.

    context, attention_mask: int64 [n, length]. Returns int64 [n, length + generated]. eos: the token, or tokens, that end a row; after its
    end comes `pad`. `stopped` says which generated rows of tokens hold a stop string. It is asked now and then, so a row may run on a
    little behind one: the caller cuts the text. Sampling draws from torch's global generator. What a step is given is the model's own
    affair, as in `generate`.
    """
    import torch
    from transformers import DynamicCache

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    taken = inspect.signature(causal.forward).parameters
    name = next((each for each in CACHES if each in taken), None)
    if name is None:
        raise UserError(f"model.base: {type(causal).__name__} takes no cache of earlier tokens, which decoding needs; name another base")
    n, length = context.shape
    out = torch.full((n, max_length), pad, dtype=torch.int64, device=context.device)
    out[:, :length] = context
    rows = torch.arange(n, device=context.device)
    cache = DynamicCache(config=causal.config)
    step, mask = context, attention_mask
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    ends = torch.tensor([eos] if isinstance(eos, int) else sorted(eos), device=context.device)
    alive = torch.ones(n, dtype=torch.bool, device=context.device)
    end = length
    with torch.inference_mode():
        while end < max_length:
            given = {"attention_mask": mask, "position_ids": positions, "logits_to_keep": 1}
            given = {key: value for key, value in given.items() if key in taken} | {name: cache}
            inputs = causal.prepare_inputs_for_generation(step, use_cache=True, is_first_iteration=end == length, **given)
            logits = causal(**inputs, return_dict=True).logits[:, -1]
            logits = logits.float()
            token = logits.argmax(-1) if temperature == 0.0 else torch.softmax(logits / temperature, dim=-1).multinomial(1).squeeze(-1)
            out[rows, end] = torch.where(alive, token, pad)  # no mask that picks rows: the processor would wait for the GPU
            end += 1
            alive &= ~torch.isin(token, ends)
            if (end - length) % STOP_CHECK_INTERVAL == 0 and alive.any():
                live = alive.nonzero().squeeze(-1)
                hit = torch.tensor(stopped(out[rows[live], length:end].tolist()), device=context.device)
                alive[live[hit]] = False
            left = int(alive.sum())
            if left == 0:
                break
            if left <= KEEP_SHARE * len(rows):
                kept = alive.nonzero().squeeze(-1)
                cache.reorder_cache(kept)
                rows, token, mask, positions, alive = rows[kept], token[kept], mask[kept], positions[kept], alive[kept]
            step = token[:, None]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return out[:, :end]
