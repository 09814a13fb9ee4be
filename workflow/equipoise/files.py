"""Files that are complete or absent: digests, atomic writing, durable names; JSON, canonical or in lines; how a full disk is recognised."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from equipoise.errors import UserError

Read = TypeVar("Read")
TRANSIENT = (errno.ESTALE, errno.EIO)
"""Errors of a network file system that may be gone at the next attempt."""
RETRY_AFTER = 0.2  # seconds
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (*TRANSIENT, errno.EACCES, errno.EROFS)
"""Errors of a file system that is damaged, away, or not ours to write."""
MARKS = (*map(os.strerror, FULL), *(f"os error {code}" for code in FULL), "PytorchStreamWriter failed", "unexpected pos")
"""What errors of a full disk, or a used-up quota, say: safetensors', and torch.save's, which keeps the cause to itself."""


def retried(read: Callable[[], Read]) -> Read:
    """What `read` returns, which is tried once more when a network file system fails in passing (`TRANSIENT`)."""
    try:
        return read()
    except OSError as error:
        if error.errno not in TRANSIENT:
            raise
    time.sleep(RETRY_AFTER)
    return read()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hex."""

    def digest() -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return retried(digest)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; when the block ends without error it is synced and renamed to `path`.

    A reader sees the old file or the complete new one, never a part. A path has one writer: other parts were left by killed ones.
    Links are written through; what is there and no regular file (a device, a pipe) stays, and is given the bytes.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with _written_into(path) as part:
            yield part
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):
        left.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _written_into(path: Path) -> Iterator[Path]:
    """Yields a temporary path elsewhere, whose bytes go into a device or pipe when the block ends without error."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        yield part
        with open(part, "rb") as written, open(path, "wb", buffering=0) as target:
            shutil.copyfileobj(written, target)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def sync_folder(folder: str | Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_jsonl(path: str | Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines atomically. Raises `ValueError` for NaN and infinities, which JSON does not have."""
    with atomic_path(path) as part, open(part, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values give equal text. Raises `ValueError` for numbers that are not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number, from 1, and object of every line that is not blank.

    Lines end at \\n alone: texts may hold U+2028, at which str.splitlines would cut. Raises `UserError` naming file and line for a missing
    file, broken JSON and anything but an object.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield number, _object(text, f"{path}:{number}")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; write the path of a JSONL file") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); write one object per line") from None
    if not isinstance(line, dict):
        raise UserError(f"{where}: not an object; write one object per line")
    return line


def full_disk(error: BaseException | None) -> str | None:
    """What was being written (a path, else `disk`) when an error, or what caused it, came from a full disk; None for other errors."""
    full, path = False, None
    while error is not None:
        if isinstance(error, OSError):
            path = path or error.filename
        text = str(error)
        full = full or (isinstance(error, OSError) and error.errno in FULL) or any(mark in text for mark in MARKS)
        error = error.__cause__ or error.__context__
    return str(path or "disk") if full else None


def refused_file(error: BaseException | None) -> str | None:
    """File, else `disk`, and what the system says of it, when an error, or what caused it, came from `REFUSED`; None for other errors."""
    path, reason = None, None
    while error is not None:
        if isinstance(error, OSError):
            path = path or error.filename
            reason = reason or (os.strerror(error.errno) if error.errno in REFUSED else None)
        reason = reason or next((os.strerror(code) for code in REFUSED if f"(os error {code})" in str(error)), None)
        error = error.__cause__ or error.__context__
    return f"{path or 'disk'}: {reason}" if reason else None
