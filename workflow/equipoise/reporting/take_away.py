"""Tables and figures that a reader takes away from the page: the report's own files, packed into it."""

import base64
import gzip
from collections.abc import Iterable
from pathlib import Path

OFFERED = {"table": ("csv", "md", "tex"), "figure": ("svg", "pdf", "csv")}
NAMES = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX", "svg": "SVG", "pdf": "PDF"}
FILE_BYTES = 2**19  # packed; a larger one is a link to the file beside the page
ALL_BYTES = 3 * 2**20  # of all packed files together, in the catalogue's order


def offered(kind: str, name: str) -> list[tuple[str, str]]:
    """(what the reader asks for, path below the report folder) of a result's files."""
    return [(NAMES[ending], f"{kind}s/{name}.{ending}") for ending in OFFERED[kind]]


def packed(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """Path -> gzip of the file in base64, as far as the page has room; the same bytes give the same text."""
    found: dict[str, str] = {}
    room = ALL_BYTES
    for path in paths:
        content = base64.b64encode(gzip.compress((folder / path).read_bytes(), mtime=0)).decode()
        if len(content) <= min(FILE_BYTES, room):
            found[path] = content
            room -= len(content)
    return found
