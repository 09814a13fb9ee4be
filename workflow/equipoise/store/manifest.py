"""Manifests and digests: small, deterministic JSON files, written last and atomically, that vouch for larger data."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from equipoise.errors import UserError


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON-able value; what determines a file's content goes in, nothing else."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; when the block ends without error it is synced and renamed to `path`.

    A reader sees the old file or the whole new one, never a part. A path has one writer: parts that are found were left by killed ones.
    """
    path = Path(path)
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


def sync_folder(folder: str | Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(path: str | Path, kind: str, **content: Any) -> None:
    """Writes a manifest of `kind` atomically: indented JSON with sorted keys. No times, hosts or job counts belong in it."""
    text = json.dumps({"kind": kind, **content}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def read_manifest(path: str | Path, kind: str) -> dict[str, Any]:
    """Reads a manifest and checks its kind; raises `UserError` naming the file when it is missing, broken or of another kind."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the stage that writes it ({kind})") from None
    except ValueError as error:
        raise UserError(f"{path}: not a manifest ({error}); delete it and run again") from None
    if not isinstance(content, dict) or content.get("kind") != kind:
        found = content.get("kind") if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: is {found!r}, not {kind!r}; delete it and run again")
    return content
