"""`equipoise verify`: reads everything below a path that a manifest or record vouches for, and names what is damaged.

Every kind of artefact (kinds.py): the manifest's seal and place; every file by size and SHA-256, every chunk by its crc32c; and, where the
experiment's effective configuration is at hand, whether this is what it makes. Gradient stores besides: every chunk's record, digest, flags
and norms. Healing removes what is damaged and the manifests that vouch for it, so that the next run of the workflow makes it again.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.comparison import compared
from equipoise.config import Experiment
from equipoise.config_file import read_config
from equipoise.errors import UserError, first_line
from equipoise.layout import CHUNK_ROWS
from equipoise.store.artefact import Artefact, below, file_defect, foreign
from equipoise.store.gradients import UNWRITTEN, VALID, GradientReader, GradientRows, chunk_bounds, chunk_record
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import read_manifest
from equipoise.store.stored_array import StoredArray

OF_OTHERS = ("fold", "retrainings")
"""Kinds whose files are manifests of other artefacts."""
STORE, ARRAYS = "gradient store", "arrays"
"""What is checked without a kind of its own."""
UNIT_TOLERANCE = 2e-3  # of a float16 row's length
Further = Callable[[Experiment, Artefact], list[str]]
"""Defects of what an artefact is about, for who can reach it: the base's weights."""


@dataclass
class Checked:
    """What was checked, of which kind it is, its defects, and the files that are removed when it is healed."""

    what: str
    kind: str
    defects: list[str] = field(default_factory=list)
    damaged: set[Path] = field(default_factory=set)

    def add(self, defect: str, *damaged: Path) -> None:
        self.defects.append(defect)
        self.damaged |= set(damaged)


def verify(path: str | Path, further: Further = lambda config, artefact: []) -> Iterator[Checked]:
    """Yields what was checked for everything at or below `path`; without defects it is sound.

    Raises `UserError` when there is nothing to check.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; write a gradient store, a manifest, or a folder of results")
    checked_any = False
    for checked in _checks(path, further):
        checked_any = True
        yield checked
    if not checked_any:
        raise UserError(f"{path}: nothing to verify here; write a gradient store, a manifest, or a folder of results")


def heal(found: list[Checked]) -> list[Path]:
    """Removes what is damaged and what vouches for it; returns what was removed. To be called when all was checked."""
    removed = []
    for path in sorted({path for checked in found for path in checked.damaged}):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()
        else:
            continue
        removed.append(path)
    return removed


def _checks(path: Path, further: Further) -> Iterator[Checked]:
    if path.is_file():
        if (checked := _manifest(path, further)) is not None:
            yield checked
        return
    if (path / "status").is_dir() and (path / "chunks").is_dir():
        yield _store(path)
        return
    if (path / "zarr.json").is_file():
        if not any(path.parent.glob("*.json")):  # else manifests beside it list its chunks
            yield _arrays(path)
        return
    for child in sorted(path.iterdir()):
        if not child.name.startswith(".") and (child.is_dir() or child.suffix == ".json"):
            yield from _checks(child, further)


def _manifest(path: Path, further: Further) -> Checked | None:
    """Checks a manifest and what it vouches for; None for other JSON files."""
    place = os.path.abspath(path)
    kind, names = next(((kind, found) for kind in KINDS.values() if (found := kind.pattern.search(place))), (None, None))
    if kind is None:
        return None
    checked = Checked(f"{path}: {kind.name}", kind.name)
    try:
        artefact = Artefact(path, read_manifest(path, kind.name))
        own = {name: value for name, value in names.groupdict().items() if name in kind.names}
        if artefact["of"] != own:
            checked.add(f"{path}: is of {artefact['of']}, which does not belong here", path)
        config = _config(place[: names.start()] + "/" + names["experiment"], names.groupdict().get("model"), names.groupdict().get("place"))
        if config is not None:
            _check_making(config, artefact, checked, further)
        _check_parts(artefact, checked)
    except UserError as error:
        checked.add(str(error), path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        checked.add(f"{path}: not what a manifest says ({error!r})", path)
    return checked


def _config(root: str, model: str | None, place: str | None) -> Experiment | None:
    """The effective configuration of the experiment below `root`, as it lies there, with the estimator whose place it is.

    None where it is not at hand, is of another model, or does not compare the estimator.
    """
    try:
        config = read_config(f"{root}/config.yaml")
    except (UserError, OSError):
        return None
    if model not in (None, config.model.name):
        return None
    config = config.model_copy(update={"results": os.path.dirname(root), "experiment": os.path.basename(root)})
    return next((each for each in compared(config) if each.gradients.place == (place or "")), None)


def _check_making(config: Experiment, artefact: Artefact, checked: Checked, further: Further) -> None:
    try:
        reason = foreign(config, artefact, all_here=False)
    except (UserError, KeyError):  # an input is damaged, which is told of the input; or the configuration has no such task or suite
        reason = None
    if reason:
        checked.add(f"{artefact.path}: {reason}", artefact.path)
    for defect in further(config, artefact):
        checked.add(defect, artefact.path)


def _check_parts(artefact: Artefact, checked: Checked) -> None:
    for name in artefact.files:
        file = below(artefact.path, name)
        if defect := file_defect(file, *artefact["files"][name]):
            # what another manifest vouches for (a fold's scores) is that one's to remove
            checked.add(f"{file}: {defect}", artefact.path, *([] if artefact["kind"] in OF_OTHERS else [file]))
    for name, entry in (artefact.get("arrays") or {}).items():
        last = (entry["first"] + len(entry["crc32c"])) * CHUNK_ROWS
        array = artefact.array(name, last)
        for chunk in range(entry["first"], last // CHUNK_ROWS):
            try:
                array.read(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)
            except UserError as error:
                checked.add(str(error).rpartition("; run `")[0], artefact.path, *_of_chunk(array, chunk))


def _of_chunk(array: StoredArray, chunk: int) -> list[Path]:
    """A chunk's file, and the record that vouches for it in a gradient store."""
    return [array.chunk_file(chunk), *([record] if (record := chunk_record(array.path.parent, chunk)).is_file() else [])]


# gradient stores
def _store(path: Path) -> Checked:
    try:
        reader = GradientReader(path)
    except UserError as error:
        return Checked(f"{path}: {STORE}", STORE, [str(error)], {path})
    checked = Checked(f"{path}: {STORE}, {reader.rows} rows in {reader.chunks} chunks", STORE)
    for chunk in range(reader.chunks):
        record = chunk_record(path, chunk)
        try:
            for defect in _content_defects(reader, chunk, reader.read_chunk(chunk)):
                checked.add(defect, record)
        except UserError as error:
            checked.add(str(error), record)
        except (KeyError, TypeError) as error:
            checked.add(f"{record}: has no key {error}", record)
    for file in sorted((path / "chunks").glob("*.json")):
        if not file.stem.isdigit() or int(file.stem) >= reader.chunks:
            checked.add(f"{file}: a record beyond the store's {reader.rows} rows", file)
    return checked


def _content_defects(reader: GradientReader, chunk: int, rows: GradientRows) -> list[str]:
    """What a chunk may not hold even where its checksums are right."""
    start, _ = chunk_bounds(chunk, reader.rows)
    valid = rows.status == VALID
    vectors = [rows.directions] if reader.dimension else [*rows.states.values()]
    lengths = [np.sqrt(np.einsum("nk,nk->n", each, each, dtype=np.float64)) for each in vectors]
    finite = np.isfinite(rows.loss) & (np.isfinite(rows.norm) if reader.dimension else True)
    wrong = {
        "was never written": rows.status == UNWRITTEN,
        "is valid but not of unit length": valid & ~np.logical_and.reduce([np.abs(length - 1) <= UNIT_TOLERANCE for length in lengths]),
        "is valid but has no finite norm or loss": valid & ~finite,
        "is flagged but not all NaN": ~valid & ~np.logical_and.reduce([np.isnan(each).all(axis=1) for each in vectors]),
    }
    return [f"{reader.path}: row {start + int(np.argmax(where))} {what}" for what, where in wrong.items() if where.any()]


def _arrays(path: Path) -> Checked:
    """A Zarr array or group that no manifest vouches for: each chunk of each array must be there and pass its own checksum."""
    import zarr

    try:
        root = zarr.open(str(path), mode="r")
        arrays = {path: root} if isinstance(root, zarr.Array) else {path / name: array for name, array in root.arrays()}
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        return Checked(
            f"{path}: {ARRAYS}", ARRAYS, [f"{path}: its metadata cannot be read ({first_line(error)}); run its stage again"], {path}
        )
    if not arrays:
        return Checked(
            f"{path}: {ARRAYS}", ARRAYS, [f"{path}: a group without arrays, as a killed writer leaves it; run its stage again"], {path}
        )
    checked = Checked(f"{path}: {len(arrays)} arrays, {max(array.shape[0] for array in arrays.values())} rows", ARRAYS)
    for place, array in arrays.items():
        for index in np.ndindex(*array.cdata_shape):
            file = place.joinpath("c", *map(str, index))
            bounds = tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, array.chunks, strict=True))
            try:
                if not file.is_file():
                    checked.add(f"{file}: missing chunk; run its stage again")
                    continue
                array[bounds]
            except ValueError as error:
                checked.add(f"{file}: damaged chunk ({error}); run its stage again")
    return checked


# without reading anything whole
def whole_content(manifest: str) -> dict[str, Any] | None:
    """A manifest's content, where it can be read and what it vouches for is there in its size; else none. What that holds is for `verify`
    and for readers."""
    try:
        with open(manifest, "rb") as file:
            content: dict[str, Any] = json.loads(file.read())
        folder = os.path.dirname(manifest)
        for name, (size, _) in content.get("files", {}).items():
            if os.stat(f"{folder}/{name}").st_size != size:
                return None
        for name, entry in content.get("arrays", {}).items():
            size, end = StoredArray.chunk_size(entry), "" if entry["width"] is None else "/0"
            for chunk in range(entry["first"], entry["first"] + len(entry["crc32c"])):
                if os.stat(f"{folder}/{name}/c/{chunk}{end}").st_size != size:
                    return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content
