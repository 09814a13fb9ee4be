"""Plain Python values as JSON, both ways. Only what is listed here crosses between a program and its tests.

A program therefore cannot hand its tests an object that claims to equal everything.
"""

from collections.abc import Iterator
from typing import Any

SCALARS = (bool, int, float, str, type(None))
LONGEST_ITERATOR = 100_000
VIEWS = {"keys": type({}.keys()), "values": type({}.values()), "items": type({}.items())}


class Opaque:
    """Stands for an object of the program (a regular expression's match, an instance): it is true or not, and equals nothing else."""

    def __init__(self, true: bool):
        self._true = true

    def __bool__(self) -> bool:
        return self._true


def encode(value: Any, depth: int = 0) -> Any:
    """A JSON-able form of a value; of anything that is not plain data only whether it is true.

    Raises `ValueError` for too deep or endless data.
    """
    if depth > 200:
        raise ValueError("nested too deeply")
    kind = type(value)
    if kind is int and abs(value) >= 2**63:
        return {"int": hex(value)}
    if kind in SCALARS:
        return value
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is range:
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in dict.items(value)]}
    for name, sequence in (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset)):
        if isinstance(value, sequence):
            return {name: [encode(item, depth + 1) for item in sequence.__iter__(value)]}
    for name, view in VIEWS.items():
        if kind is view:
            return {name: [encode(item, depth + 1) for item in value]}
    if isinstance(value, Iterator):
        return {"iterator": [encode(item, depth + 1) for item in _bounded(value)]}
    if isinstance(value, (bool, int, float, str)):  # subclasses, stripped to what they are
        base = next(base for base in SCALARS if isinstance(value, base))
        return encode(base.__new__(base, value), depth + 1)
    return {"opaque": bool(value)}


def _bounded(values: Iterator) -> Iterator:
    for count, value in enumerate(values):
        if count >= LONGEST_ITERATOR:
            raise ValueError("endless")
        yield value


def decode(form: Any) -> Any:
    """The value of `encode`'s form. Raises `ValueError` for any other form."""
    if type(form) in SCALARS:
        return form
    if not isinstance(form, dict) or len(form) != 1:
        raise ValueError("not the form of a value")
    ((kind, content),) = form.items()
    if kind == "int":
        return int(content, 16)
    if kind == "complex":
        return complex(*content)
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "range":
        return range(*content)
    if kind == "dict":
        return {decode(k): decode(v) for k, v in content}
    if kind == "opaque":
        return Opaque(content is True)
    items = [decode(item) for item in content]
    if kind == "keys":
        return dict.fromkeys(items).keys()
    if kind == "values":
        return dict(enumerate(items)).values()
    if kind == "items":
        return dict(items).items()
    makers = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter}
    if kind not in makers:
        raise ValueError(f"unknown form {kind!r}")
    return makers[kind](items)
