"""Manifests and digests: small, deterministic JSON files, written last and atomically, that vouch for larger data."""

import hashlib
import json
from pathlib import Path
from typing import Any

from equipoise.errors import UserError
from equipoise.files import canonical_json, retried, write_text


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON-able value; what determines a file's content goes in, nothing else."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_manifest(path: str | Path, kind: str, **content: Any) -> None:
    """Writes a manifest of `kind` atomically: indented JSON with sorted keys. No times, hosts or job counts belong in it."""
    text = json.dumps({"kind": kind, **content}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def read_manifest(path: str | Path, kind: str) -> dict[str, Any]:
    """Reads a manifest and checks its kind; raises `UserError` naming the file when it is missing, broken or of another kind."""
    try:
        content = json.loads(retried(Path(path).read_bytes))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the stage that writes it ({kind})") from None
    except ValueError as error:
        raise UserError(f"{path}: not a manifest ({error}); delete it and run again") from None
    if not isinstance(content, dict) or content.get("kind") != kind:
        held = content.get("kind") if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: is {held!r}, not {kind!r}; delete it and run again")
    return content
