"""The one way to what a manifest vouches for: `open_artefact`. Reading and checking are one act.

Opening reads the manifest, compares its seal, and what the artefact was made from with what holds now by the reader's own configuration
(provenance.py). A file that is read whole is compared by size and SHA-256 when it is asked for (`file`, `folder`), an array chunk by chunk
when it is read (`array`). Whoever makes an artefact publishes it with `publish`, last, when its files are on disk.

A manifest holds, besides kind, seal and what its stage has to say: of, the names that tell it from others of its kind; configured and
made_from, its provenance; files, [bytes, SHA-256] by path below the manifest's folder; arrays, as `stored_array` says, by such a path.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.files import canonical_json, file_digest, retried
from equipoise.store.digests import digest_once
from equipoise.store.kind import Names
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import read_manifest, remedy, write_manifest
from equipoise.store.provenance import configured, own_files, provenance
from equipoise.store.stored_array import StoredArray

OWN = {"files": "the experiment's files", "rows": "the shards of the matrix"}
"""What an artefact is made from that is no other artefact."""


@dataclass(frozen=True)
class Artefact:
    """A manifest, sound and of the kind, names and making that its reader expects: path and content."""

    path: Path
    content: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        try:
            return self.content[key]
        except KeyError:
            raise UserError(f"{self.path}: has no {key!r}; {remedy(self.path)}") from None

    def get(self, key: str) -> Any:
        """A key that not every manifest of the kind has, or none."""
        return self.content.get(key)

    @property
    def files(self) -> list[str]:
        """Paths of its files, below the manifest's folder."""
        return list(self.content.get("files", {}))

    def file(self, name: str) -> Path:
        """A file, to be read now: its size and SHA-256 are what was written. Raises `UserError` that names it."""
        path = below(self.path, name)
        size, digest = self["files"].get(name, (None, None))
        if size is None:
            raise UserError(f"{path}: {self.path} does not vouch for it; {remedy(self.path)}")
        if defect := file_defect(path, size, digest):
            raise UserError(f"{path}: {defect}; {remedy(self.path)}")
        return path

    def only_file(self) -> Path:
        """The file of an artefact that has one."""
        (name,) = self.files
        return self.file(name)

    def folder(self) -> Path:
        """The folder of an artefact that is one: every file of it was compared."""
        paths = [self.file(name) for name in self.files]
        if not paths:
            raise UserError(f"{self.path}: vouches for no file; {remedy(self.path)}")
        return paths[0].parent

    def array(self, name: str, rows: int, parts: Sequence["Artefact"] = ()) -> StoredArray:
        """An array of `rows` rows; parts: further manifests that list chunks of it. Chunks that none lists cannot be read."""
        sums, entries = {}, [part["arrays"].get(name) for part in (self, *parts)]
        if any(entry is None or (entry["dtype"], entry["width"]) != (entries[0]["dtype"], entries[0]["width"]) for entry in entries):
            raise UserError(f"{self.path}: {name} is not in it, or of another shape than in others; {remedy(self.path)}")
        for entry in entries:
            sums |= dict(enumerate(entry["crc32c"], entry["first"]))
        return StoredArray(below(self.path, name), rows, entries[0]["dtype"], entries[0]["width"], sums, self.path)


def open_artefact(config: Experiment, kind: str, **names: Any) -> Artefact:
    """The artefact of a kind and names that this configuration makes. Raises `UserError` in one line, with what makes it again, when it is
    missing, damaged, of another place, or made by another configuration or from other inputs than are there now."""
    of = {name: str(value) for name, value in names.items()}
    path = Path(KINDS[kind].manifest(config.layout, of))
    artefact = Artefact(path, read_manifest(path, kind, KINDS[kind].stage))
    if artefact["of"] != of:
        raise UserError(f"{path}: is of {_said(artefact['of'])}, not of {_said(of)}; {remedy(path)}")
    if reason := foreign(config, artefact):
        raise UserError(f"{path}: {reason}; run {KINDS[kind].stage} again, or {remedy(path).removeprefix('run ')}")
    return artefact


def open_alone(path: str | Path, kind: str) -> Artefact:
    """The artefact of a manifest whose experiment is not at hand: what it vouches for is checked, not whose it is."""
    return Artefact(Path(path), read_manifest(path, kind))


def foreign(config: Experiment, artefact: Artefact, all_here: bool = True) -> str | None:
    """How an artefact differs from what this configuration makes from what is there now; none where it does not.

    all_here: whether an input that is missing is a difference too.
    """
    now = provenance(config, artefact["kind"], artefact["of"])
    for key in sorted({*now["configured"], *artefact["configured"]}):
        held, wanted = (canonical_json(side.get(key)) for side in (artefact["configured"], now["configured"]))
        if held != wanted:
            return f"was made with {key}: {held[:60]}, the configuration says {wanted[:60]}"
    held, wanted = dict(artefact["made_from"]), now["made_from"]
    if "files" not in wanted:  # the user's files are not here; what was made from them is
        held.pop("files", None)
    for name in sorted({*held, *wanted}):
        gone = name in wanted and wanted[name] is None
        if held.get(name) != wanted.get(name) and (all_here or not gone):
            if name in OWN:
                return f"was made from {OWN[name]} as they were before"
            return f"was made from {name}, which is missing" if gone else f"was made from another {name} than is there now"
    return None


def is_of_another(config: Experiment, content: Mapping[str, Any], known: dict[str, Any]) -> bool:
    """Whether an artefact was made by other values of the keys that count, or from other files of the user's, by its manifest's content.

    What other artefacts it was made from is not looked at. known: filled with what holds now, for the next artefact of the kind.
    """
    kind, of = content["kind"], content["of"]
    scope = canonical_json([kind, KINDS[kind].scope(config, of)])
    if scope not in known:
        known[scope] = canonical_json(configured(config, kind, of))
    if canonical_json(content["configured"]) != known[scope]:
        return True
    sources = canonical_json([kind, sorted(KINDS[kind].sources(config, of))])
    if sources not in known:
        known[sources] = own_files(config, kind, of)
    return known[sources] is not None and content["made_from"].get("files", known[sources]) != known[sources]


def is_made(config: Experiment, kind: str, **names: Any) -> Artefact | None:
    """The artefact if it is there, made as `open_artefact` wants it, and all its files are sound; else none."""
    try:
        artefact = open_artefact(config, kind, **names)
        for name in artefact.files:
            artefact.file(name)
    except UserError:
        return None
    return artefact


def publish(
    config: Experiment,
    kind: str,
    of: Mapping[str, Any],
    files: Iterable[str | Path] = (),
    arrays: Mapping[str, Any] | None = None,
    **said: Any,
) -> None:
    """Writes an artefact's manifest: its files, which lie below the manifest's folder, are on disk. said: what its stage has to say."""
    names: Names = {name: str(value) for name, value in of.items()}
    path = Path(KINDS[kind].manifest(config.layout, names))
    content = {"of": names, **provenance(config, kind, names), **said}
    if listed := {relative(path, file): [os.path.getsize(file), file_digest(file)] for file in files}:
        content["files"] = listed
    if arrays:
        content["arrays"] = dict(arrays)
    write_manifest(path, kind, **content)


def below(manifest: Path, name: str) -> Path:
    """The file that a manifest calls `name`. Raises `UserError` for a name that leads out of its folder."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError(f"{manifest}: names {name!r}, which is not below it; {remedy(manifest)}")
    return manifest.parent / name


def relative(manifest: str | Path, path: str | Path) -> str:
    """How a manifest calls a file or array below its folder."""
    return Path(path).relative_to(Path(manifest).parent).as_posix()


def file_defect(path: Path, size: int, digest: str) -> str | None:
    """What is wrong with a file of that size and SHA-256; none where nothing is."""
    try:
        held = retried(path.stat).st_size
        if held != size:
            return f"has {held:,} bytes, its manifest says {size:,}"
        return None if digest_once(path) == digest else "damaged or another one: not the file its manifest vouches for"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _said(of: Any) -> str:
    return " ".join(f"{name} {value}" for name, value in of.items()) if isinstance(of, dict) else str(of)
