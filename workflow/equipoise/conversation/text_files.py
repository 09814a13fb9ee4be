"""Rows of text files: JSON, JSON Lines, CSV; compressed or not. Readers yield (line from 1, value, problem)."""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from equipoise.conversation.messages import BadRow
from equipoise.conversation.strict_json import WHITE, first_of, loads
from equipoise.errors import UserError

LONGEST_ROW = 1 << 26  # bytes; what is longer is no example but a file without line ends
READ_AT_ONCE = 1 << 16
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
Places = Iterator[tuple[int, Any, BadRow | None]]


def json_rows(path: Path) -> Places:
    """Rows of an array or of JSON Lines; the first character tells them apart, as both are found under both suffixes."""
    stream = _open(path)
    if stream.peek().lstrip().startswith(b"["):
        yield from _array_rows(path, stream)
        return
    for number, line in enumerate(_lines(path, stream), 1):
        if not line.isspace():
            try:
                yield number, loads(line), None
            except ValueError as error:
                yield number, None, BadRow("not JSON on one line", str(error))


def csv_rows(path: Path, delimiter: str = ",") -> Places:
    """Rows of CSV, all values text. Raises `UserError` for column names that are empty or repeat, and for quotes that do not close."""
    csv.field_size_limit(LONGEST_ROW)
    reader = csv.reader(_lines(path, _open(path)), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = next(reader, [])
        if not all(header) or len(set(header)) < len(header):
            raise UserError(f"{path}:1: column names are empty or repeat ({', '.join(header)[:200]}); write one name a column")
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) == len(header):
                yield line, dict(zip(header, cells, strict=True)), None
            elif cells:
                yield line, None, BadRow("another number of cells than of column names", f"{len(cells)} and {len(header)}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{line}: not CSV ({error}); quote texts that hold quotes or line ends") from None


def tsv_rows(path: Path) -> Places:
    """Rows of tab-separated values, as `csv_rows`."""
    return csv_rows(path, "\t")


def _open(path: Path) -> BinaryIO:
    """The bytes of a text file, decompressed, after its byte order mark. Raises `UserError` where they are of another kind."""
    import pyarrow as pa

    stream = io.BufferedReader(pa.input_stream(str(path), compression=COMPRESSIONS.get(path.suffix.lower())), READ_AT_ONCE)
    head = stream.peek()
    kind = next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), None)
    if kind or b"\0" in head:
        raise UserError(f"{path}:1: {kind or 'binary, or UTF-16'}, not UTF-8 text; write it as that, or under the suffix of its kind")
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


def _lines(path: Path, stream: BinaryIO) -> Iterator[str]:
    """Lines, which end at line feeds alone: texts may hold U+2028, at which str.splitlines would cut."""
    number = 0
    while line := stream.readline(LONGEST_ROW + 1):
        number += 1
        if len(line) > LONGEST_ROW:
            raise UserError(f"{path}:{number}: a line longer than {LONGEST_ROW >> 20} MB; write one row a line")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8") from None


def _array_rows(path: Path, stream: BinaryIO) -> Places:
    """Elements of an array, read as far as the next one needs. Commas between them are passed over, as are too many."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, line, ended, between = "", 1, False, WHITE + "["
    try:
        while True:
            rest = text.lstrip(between)
            line += text.count("\n", 0, len(text) - len(rest))
            text = rest
            if text.startswith("]"):
                if text[1:].strip() or stream.read(READ_AT_ONCE).strip():
                    raise ValueError("text after the array")
                return
            try:
                value, end = first_of(text)
                whole = ended or end < len(text)  # a number at the end of what is read may go on
            except json.JSONDecodeError as error:
                whole = ended or not (error.msg.startswith("Unterminated string") or error.pos > len(text) - 16)
                if whole or len(text) > LONGEST_ROW:
                    raise
            if whole:
                yield line, value, None
                line += text.count("\n", 0, end)
                text, between = text[end:], WHITE + ","
            else:
                chunk = stream.read(max(READ_AT_ONCE, len(text)))  # as much again: a long row is begun a few times only
                ended = not chunk
                text += decoder.decode(chunk, final=ended)
    except UnicodeDecodeError as error:
        line += text.count("\n") + error.object.count(b"\n", 0, error.start)
        raise UserError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    except ValueError as error:
        line += getattr(error, "lineno", 1) - 1
        raise UserError(f"{path}:{line}: not a JSON array ({error}); write objects in [ ], or one object a line") from None
