"""JSON as this room reads it: nothing that is too deep, or has one key twice."""

import json
from typing import Any

DEEPEST = 64  # levels of a row: beyond them, Python's own limit depends on who calls
WHITE = " \t\r\n"


def loads(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError` for broken JSON, repeated keys and more levels than `DEEPEST`."""
    text = text.strip(WHITE)
    value, end = first_of(text)
    if end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def first_of(text: str) -> tuple[Any, int]:
    """The value that a text begins with, and where it ends. Raises as `loads`."""
    try:
        value, end = DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    if _deeper_than(value, DEEPEST):
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return value, end


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(item, levels - 1) for item in inner)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return value


DECODER = json.JSONDecoder(object_pairs_hook=_object)
