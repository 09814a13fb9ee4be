"""Files that are complete or absent: digests, atomic writing, durable names; JSON, canonical or in lines; how a full disk is recognised."""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

Read = TypeVar("Read")
TRANSIENT = (errno.ESTALE, errno.EIO)
"""Errors of a network file system that may be gone at the next attempt."""
RETRY_AFTER = 0.2  # seconds
FULL = (errno.ENOSPC, errno.EDQUOT)
PLACE = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EFBIG)
"""Errors of a place where no such file can be."""
REFUSED = (*TRANSIENT, errno.EACCES, errno.EPERM, errno.EROFS, *PLACE)
"""Errors of a file system that is damaged, away, or not ours to write, and of impossible places."""
DISK = "disk"
"""What is said to be full or refused where no path is known."""
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
    kind = _kind(path)
    if kind is not None and not stat.S_ISREG(kind):
        with _named(path, path), _written_into(path) as part:
            yield part
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _named(path, part), _made_folder(path.parent):
        for left in path.parent.glob(f".{path.name}.*.part"):
            left.unlink(missing_ok=True)
        try:
            yield part
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def _kind(path: Path) -> int | None:
    """What lies at a path, as `stat` says it; none where nothing does. Raises `OSError` for a folder and where nothing can be."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return mode


@contextmanager
def _made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder, and takes what was made away again where the block ends in an error."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # what the system says where no folder can be made, as below /proc
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder)) from None
        yield
    except BaseException:
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise


@contextmanager
def _named(path: Path, part: Path) -> Iterator[None]:
    """Errors of a block that writes `path` say so, though `part` or no name at all stands in them; a full disk is one, whoever says it."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename != str(part):
            raise
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from None  # a folder that takes no file, as /proc
    except OSError as error:
        if error.filename in (None, str(part)):
            error.filename = str(path)
        raise
    except Exception as error:
        if full_disk(error) != DISK:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


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


def full_disk(error: BaseException | None) -> str | None:
    """What was being written (a path, else `disk`) when an error, or what caused it, came from a full disk; None for other errors."""
    full, path = False, None
    while error is not None:
        if isinstance(error, OSError):
            path = path or error.filename
        text = str(error)
        full = full or (isinstance(error, OSError) and error.errno in FULL) or any(mark in text for mark in MARKS)
        error = error.__cause__ or error.__context__
    return str(path or DISK) if full else None


def refused_file(error: BaseException | None) -> str | None:
    """File, else `disk`, and what the system says of it, when an error, or what caused it, came from `REFUSED`; None for other errors."""
    path, reason = None, None
    while error is not None:
        if isinstance(error, OSError):
            path = path or error.filename
            reason = reason or (os.strerror(error.errno) if error.errno in REFUSED else None)
        reason = reason or next((os.strerror(code) for code in REFUSED if f"(os error {code})" in str(error)), None)
        error = error.__cause__ or error.__context__
    return f"{path or DISK}: {reason}" if reason else None
