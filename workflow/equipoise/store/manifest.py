"""Manifests and digests: small, deterministic JSON files, written last and atomically, that vouch for larger data and for themselves."""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from equipoise.errors import UserError
from equipoise.files import canonical_json, retried, write_text

SEAL = "seal"
"""Key of a manifest's own digest: no other key can change without it."""


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON-able value; what determines a file's content goes in, nothing else."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def remedy(path: str | Path) -> str:
    """What makes a damaged artefact and its manifest again."""
    return f"run `equipoise verify --heal {shlex.quote(str(path))}`, which removes it, and then the workflow, which makes it again"


def write_manifest(path: str | Path, kind: str, **content: Any) -> None:
    """Writes a manifest of `kind` atomically: indented JSON with sorted keys. No times, hosts or job counts belong in it."""
    said = json.loads(canonical_json({"kind": kind, **content}))
    text = json.dumps({**said, SEAL: fingerprint(said)}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def read_manifest(path: str | Path, kind: str, stage: str | None = None) -> dict[str, Any]:
    """Reads a manifest and checks its seal and kind; stage: what writes it.

    Raises `UserError` naming the file when it is missing, damaged or of another kind.
    """
    if (place := Path(path)).is_fifo() or place.is_socket() or place.is_char_device():
        raise UserError(f"{path}: not a regular file; {remedy(path)}")
    try:
        content = json.loads(retried(Path(path).read_bytes))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the stage that writes it ({stage or kind})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy(path)}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a manifest ({error}); {remedy(path)}") from None
    held = content.get("kind") if isinstance(content, dict) else type(content).__name__
    if not isinstance(content, dict) or held != kind:
        raise UserError(f"{path}: is {held!r}, not {kind!r}; {remedy(path)}")
    if not is_sealed(content):
        raise UserError(f"{path}: damaged, changed by hand or written by an earlier version; {remedy(path)}")
    return content


def is_sealed(content: dict[str, Any]) -> bool:
    """Whether a manifest says what was written."""
    try:
        return content.get(SEAL) == fingerprint({key: value for key, value in content.items() if key != SEAL})
    except ValueError:  # numbers that are not finite, which no manifest holds
        return False
