"""Digests that are computed once: of an artefact's files in a process, of a base's weights by all of them.

Some hundred jobs ask for a base's digests, and 16 GB take a minute to read.

A file of the hub's cache is a link to a blob named by its SHA-256 (`fetch` has compared the two). For any other large file the digest is
kept below ~/.cache/equipoise, with size, time and inode of the file that it was computed of; when one of them differs it is computed again.
"""

import json
import os
import re
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from equipoise.errors import UserError
from equipoise.files import file_digest, retried, write_text

LARGE = 64 << 20  # bytes; smaller files are read every time
SETTLED = 2.0  # seconds since the last change; file systems with coarse times do not show one that follows sooner
BLOB = re.compile(r"[0-9a-f]{64}")


def remembered_digest(path: str | Path, large: int | None = None) -> str:
    """SHA-256 of a file, as `file_digest`; for one of `large` bytes that has not changed since it was last asked for, without reading."""
    path = Path(path)
    if blob := blob_digest(path):
        return blob
    known_by = _known_by(path)
    if known_by[0] < (LARGE if large is None else large):
        return file_digest(path)
    note = _cache() / f"{sha256(os.fsencode(path.resolve())).hexdigest()}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["file"] == known_by and BLOB.fullmatch(known["digest"]):
            return known["digest"]
    digest = file_digest(path)
    if _known_by(path) == known_by and time.time() - known_by[1] / 1e9 > SETTLED:
        with suppress(OSError):  # a full or read-only home costs time, nothing else
            write_text(note, json.dumps({"path": str(path.resolve()), "file": known_by, "digest": digest}) + "\n")
    return digest


_once: dict[str, tuple[list[int], str]] = {}


def digest_once(path: str | Path) -> str:
    """SHA-256 of a file, as `file_digest`; of one that has not changed since this process last read it, without reading: a job asks for a
    checkpoint to compare it, to name it in fingerprints, and for every epoch's rows again."""
    place, before = os.path.abspath(path), _known_by(path)
    if place in _once and _once[place][0] == before:
        return _once[place][1]
    digest = file_digest(path)
    if _known_by(path) == before and time.time() - before[1] / 1e9 > SETTLED:
        _once[place] = before, digest
    return digest


def _known_by(path: str | Path) -> list[int]:
    state = retried(lambda: os.stat(path))
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def blob_digest(path: Path) -> str | None:
    """The SHA-256 that names the hub's blob which `path` links to; None for anything else."""
    target = path.resolve()
    return target.name if path.is_symlink() and target.parent.name == "blobs" and BLOB.fullmatch(target.name) else None


def refuse_damaged_blobs(folder: Path) -> None:
    """Raises `UserError` for a file of a hub snapshot whose content is not what its blob's name says."""
    for path in sorted(folder.iterdir()):
        named = blob_digest(path)
        if named and file_digest(path) != named:
            raise UserError(f"{path}: damaged in the hub's cache; delete {path.resolve()} and fetch again")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "equipoise" / "digests"
