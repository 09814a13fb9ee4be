"""What an artefact is made from as things stand now, by digest.

Whoever makes one writes it into the manifest (`provenance`), and whoever reads one compares it with what holds now: an artefact of another
configuration, of an older run or of another place is another artefact.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from equipoise.config import Experiment
from equipoise.conversation.sources import input_files
from equipoise.determinants import READS, determinants
from equipoise.errors import UserError
from equipoise.experiment import assembled_shards
from equipoise.store.digests import remembered_digest
from equipoise.store.kind import Names
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import fingerprint, read_manifest

REMEMBERED = 1 << 20  # bytes; larger files of the user's are read once, and then known by size and time


def provenance(config: Experiment, kind: str, of: Names) -> dict[str, dict[str, Any]]:
    """What an artefact made now, by this configuration, is made from: `configured`, values by key, and `made_from`, digests by name.

    An input that is not there has the digest null, the user's files are left out unless all are there: what was copied elsewhere is read
    without them. Raises `UserError` for an input whose manifest is damaged.
    """
    entry, layout = KINDS[kind], config.layout
    made_from: dict[str, Any] = {}
    for name, its in entry.inputs(config, of):
        path = KINDS[name].manifest(layout, its)
        made_from[path.removeprefix(f"{layout.experiment_root}/")] = identity(path, name)
    if entry.rows:
        made_from["rows"] = fingerprint(matrix_rows(config, of["matrix"]))
    if files := own_files(config, kind, of):
        made_from["files"] = files
    return {"configured": configured(config, kind, of), "made_from": made_from}


def configured(config: Experiment, kind: str, of: Names) -> dict[str, Any]:
    """Values of the keys that determine an artefact, by path."""
    entry = KINDS[kind]
    return determinants(config, entry.stage, **entry.scope(config, of)) if entry.stage in READS else {}


def own_files(config: Experiment, kind: str, of: Names) -> str | None:
    """Digest of the user's files that an artefact is made from; none where there are none, or not all are here."""
    files: list[str] = []
    with suppress(UserError):  # a pattern that fits no file any more
        files = input_files(list(KINDS[kind].sources(config, of)))
    if files and all(Path(file).is_file() for file in files):
        return fingerprint([remembered_digest(file, REMEMBERED) for file in files])
    return None


_known: dict[tuple[str, str], tuple[tuple[int, ...], Any]] = {}


def _of_manifest(path: str, kind: str, what: str, take: Callable[[dict[str, Any]], Any]) -> Any:
    """`take` of a manifest's content, or none where it is not there; read again when the file is another (a job asks for some often)."""
    try:
        state = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    seen = (state.st_ino, state.st_size, state.st_mtime_ns)
    if _known.get((path, what), (None,))[0] != seen:
        _known[path, what] = seen, take(read_manifest(path, kind))
    return _known[path, what][1]


def identity(path: str, kind: str) -> str | None:
    """What identifies an artefact's content, however it was cut into jobs: its fingerprint, files and chunks."""
    kept = ("kind", "of", "fingerprint", "files", "arrays", "digest")
    return _of_manifest(path, kind, "identity", lambda content: fingerprint({key: content[key] for key in kept if key in content}))


def matrix_rows(config: Experiment, matrix: str) -> list[str]:
    """Digests of a matrix's chunks in row order, as the manifests of its shards list them."""
    of_shards = (config.layout.matrix_shard_manifest(matrix, first) for first in assembled_shards(config, matrix))
    return [
        digest for path in of_shards for digest in _of_manifest(path, "matrix_shard", "digests", lambda content: content["digests"]) or []
    ]
