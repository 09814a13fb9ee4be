"""JSON as this room reads and writes it: one canonical text out; nothing too deep or too odd to write again in."""

import json
from typing import Any

DEEPEST = 64  # levels of a row: beyond it Python's own limit depends on who calls


def canonical(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values give equal text. Raises `ValueError` for numbers that are not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def loads(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError` for broken JSON and for values deeper than `DEEPEST`."""
    return decode(text, json.loads)


def decode(text: str, decoder: Any, *rest: Any) -> Any:
    """What `decoder(text, *rest)` finds, `json.loads` or `JSONDecoder.raw_decode`. Raises as `loads`."""
    try:
        value = decoder(text, *rest)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    if _deeper_than(value, DEEPEST):
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return value


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list | tuple):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(item, levels - 1) for item in inner)
