"""Which documents of an lm-eval task are evaluated."""

from typing import Any

from equipoise.errors import UserError


def choose(leaf: str, hashes: list[str], held_out: list[int], validation: set[str], limit: int | None) -> list[int]:
    """Sorted ids of the documents to evaluate: neither held out nor equal in content to a validation example; at most `limit`,
    spread evenly.

    Raises `UserError` when none is left.
    """
    barred = set(held_out)
    kept = [doc_id for doc_id, known_as in enumerate(hashes) if doc_id not in barred and known_as not in validation]
    if not kept:
        raise UserError(f"lm-eval task {leaf}: all of its {len(hashes)} items are validation examples; write a smaller targets.size")
    return spread(kept, limit)


def spread(kept: list[Any], limit: int | None) -> list[Any]:
    """At most `limit` of what is listed, spread evenly, in order; none: all."""
    if limit is None or limit >= len(kept):
        return kept
    return [kept[i * len(kept) // limit] for i in range(limit)]
