"""Plain Python values as bytes, both ways, and the frames that they cross pipes in. Only what is listed here crosses.

A program therefore cannot hand its tests an object that claims to equal everything. Neither pickle nor marshal, which a program could
abuse; not JSON, whose module takes longer to import than the interpreter to start.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # typing takes longer to import than Python to start
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

LONGEST_FRAME = 8 * 2**20
LONGEST_ITERATOR = 100_000
DEEPEST = 200
SEQUENCES = {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset}
VIEWS = {b"K": type({}.keys()), b"V": type({}.values()), b"I": type({}.items())}
ITERATOR, DICT = b"G", b"D"
CONSTANTS = {b"N": None, b"T": True, b"F": False}


class Opaque:
    """Stands for an object of the program (a regular expression's match, an instance): it is true or not, and equals nothing else."""

    def __init__(self, true: bool):
        self._true = true

    def __bool__(self) -> bool:
        return self._true


def encode(value: Any) -> bytes:
    """A value as bytes; of anything that is not plain data only whether it is true. Raises `ValueError` for too deep or endless data."""
    pieces: list[bytes] = []
    _put(value, pieces, 0)
    return b"".join(pieces)


def _put(value: Any, pieces: list[bytes], depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    kind = type(value)
    if value is None or kind is bool:
        pieces.append(b"N" if value is None else b"T" if value else b"F")
    elif kind is int:
        pieces.append(_sized(b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)))
    elif kind is float:
        pieces.append(b"d" + struct.pack(">d", value))
    elif kind is complex:
        pieces.append(b"j" + struct.pack(">dd", value.real, value.imag))
    elif kind is str:
        pieces.append(_sized(b"s", value.encode("utf-8", "surrogatepass")))
    elif kind is bytes:
        pieces.append(_sized(b"b", value))
    elif kind is range:
        pieces.append(b"r")
        for bound in (value.start, value.stop, value.step):
            _put(bound, pieces, depth + 1)
    elif isinstance(value, dict):
        items = list(dict.items(value))
        pieces.append(DICT + struct.pack(">I", len(items)))
        for pair in items:
            for each in pair:
                _put(each, pieces, depth + 1)
    else:
        for code, sequence in SEQUENCES.items():
            if isinstance(value, sequence):
                return _put_items(code, list(sequence.__iter__(value)), pieces, depth)
        for code, view in VIEWS.items():
            if kind is view:
                return _put_items(code, list(value), pieces, depth)
        if hasattr(kind, "__next__") and hasattr(kind, "__iter__"):
            return _put_items(ITERATOR, list(_bounded(value)), pieces, depth)
        for base in (int, float, str):  # subclasses, stripped to what they are
            if isinstance(value, base):
                return _put(base.__new__(base, value), pieces, depth + 1)
        pieces.append(b"O" if value else b"o")
    return None


def _put_items(code: bytes, items: list[Any], pieces: list[bytes], depth: int) -> None:
    pieces.append(code + struct.pack(">I", len(items)))
    for item in items:
        _put(item, pieces, depth + 1)


def _sized(code: bytes, content: bytes) -> bytes:
    return code + struct.pack(">I", len(content)) + content


def _bounded(values: Iterator) -> Iterator:
    for count, value in enumerate(values):
        if count >= LONGEST_ITERATOR:
            raise ValueError("endless")
        yield value


def decode(form: bytes) -> Any:
    """The value of `encode`'s bytes. Raises `ValueError` for any others."""
    try:
        value, end = _taken(form, 0, 0)
    except (struct.error, TypeError, OverflowError, IndexError) as error:
        raise ValueError("not the form of a value") from error
    if end != len(form):
        raise ValueError("more than a value")
    return value


def _taken(form: bytes, place: int, depth: int) -> tuple[Any, int]:
    """The value that begins at `place`, and where it ends."""
    if depth > DEEPEST + 10:
        raise ValueError("nested too deeply")
    code, place = form[place : place + 1], place + 1
    if code in CONSTANTS:
        return CONSTANTS[code], place
    if code in (b"O", b"o"):
        return Opaque(code == b"O"), place
    if code == b"d":
        return struct.unpack_from(">d", form, place)[0], place + 8
    if code == b"j":
        return complex(*struct.unpack_from(">dd", form, place)), place + 16
    if code == b"r":
        bounds, place = _some(form, place, 3, depth)
        return range(*bounds), place
    (size,) = struct.unpack_from(">I", form, place)
    place += 4
    if code in (b"i", b"s", b"b"):
        content = form[place : place + size]
        if len(content) != size:
            raise ValueError("cut short")
        place += size
        if code == b"i":
            return int.from_bytes(content, "big", signed=True), place
        return content if code == b"b" else content.decode("utf-8", "surrogatepass"), place
    items, place = _some(form, place, 2 * size if code == DICT else size, depth)
    if code == DICT:
        return dict(zip(items[::2], items[1::2], strict=True)), place
    if code in SEQUENCES:
        return SEQUENCES[code](items), place
    makers = {b"K": dict.fromkeys, b"V": lambda i: dict(enumerate(i)), b"I": dict}
    if code in makers:
        return VIEW_OF[code](makers[code](items)), place
    if code == ITERATOR:
        return iter(items), place
    raise ValueError("not the form of a value")


VIEW_OF = {b"K": dict.keys, b"V": dict.values, b"I": dict.items}


def _some(form: bytes, place: int, count: int, depth: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, place = _taken(form, place, depth + 1)
        items.append(item)
    return items, place


def frame(form: bytes) -> bytes:
    """Bytes as they cross a pipe: their number in four bytes, then they."""
    return struct.pack(">I", len(form)) + form


def next_frame(file: BinaryIO) -> bytes | None:
    """The bytes of the next frame; none at the end, or where it is cut short or longer than `LONGEST_FRAME`."""
    head = file.read(4)
    if len(head) < 4 or (size := struct.unpack(">I", head)[0]) > LONGEST_FRAME:
        return None
    form = file.read(size)
    return form if len(form) == size else None
