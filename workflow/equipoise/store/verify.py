"""`equipoise verify`: reads everything below a path that a manifest, record or checksum vouches for, and names what is damaged.

Gradient stores: every chunk's record, files, checksums, digest, flags and norms; their manifests against the stores. Checkpoint and pool
manifests: the digests of their files. Any other Zarr array: that every chunk is there and passes its checksum.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.store.gradients import CHUNK_ROWS, UNWRITTEN, VALID, GradientReader, GradientRows, chunk_bounds, chunk_record
from equipoise.store.manifest import fingerprint

UNIT_TOLERANCE = 2e-3  # of a float16 row's length


def verify(path: str | Path) -> Iterator[tuple[str, list[str]]]:
    """Yields (what was checked, its defects) for everything at or below `path`; an empty list means sound.

    Raises `UserError` when there is nothing to check.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; write a gradient store, a manifest, or a folder of results")
    checked_any = False
    for checked in _checks(path):
        checked_any = True
        yield checked
    if not checked_any:
        raise UserError(f"{path}: nothing to verify here; write a gradient store, a manifest, or a folder of results")


def _checks(path: Path) -> Iterator[tuple[str, list[str]]]:
    if path.is_file():
        if (checked := _manifest(path)) is not None:
            yield checked
        return
    if (path / "zarr.json").is_file():
        yield _store(path) if (path / "directions").is_dir() else _arrays(path)
        return
    for child in sorted(path.iterdir()):
        if not child.name.startswith(".") and (child.is_dir() or child.suffix == ".json"):
            yield from _checks(child)


def _store(path: Path) -> tuple[str, list[str]]:
    try:
        reader = GradientReader(path)
    except UserError as error:
        return f"{path}: gradient store", [str(error)]
    defects = []
    for chunk in range(reader.chunks):
        try:
            defects += _content_defects(reader, chunk, reader.read_chunk(chunk))
        except (UserError, KeyError) as error:
            defects.append(str(error) if isinstance(error, UserError) else f"{chunk_record(path, chunk)}: has no key {error}")
    extra = sorted(file.name for file in (path / "chunks").glob("*.json") if int(file.stem) >= reader.chunks)
    defects += [f"{path}/chunks/{name}: a record beyond the store's {reader.rows} rows" for name in extra]
    return f"{path}: gradient store, {reader.rows} rows in {reader.chunks} chunks", defects


def _content_defects(reader: GradientReader, chunk: int, rows: GradientRows) -> list[str]:
    """What a chunk may not hold even where its checksums are right."""
    start, _ = chunk_bounds(chunk, reader.rows)
    valid = rows.status == VALID
    length = np.sqrt(np.einsum("nk,nk->n", rows.directions, rows.directions, dtype=np.float64))
    wrong = {
        "was never written": rows.status == UNWRITTEN,
        "is valid but not of unit length": valid & ~(np.abs(length - 1) <= UNIT_TOLERANCE),
        "is valid but has no finite norm or loss": valid & ~(np.isfinite(rows.norm) & np.isfinite(rows.loss)),
        "is flagged but not all NaN": ~valid & ~np.isnan(rows.directions).all(axis=1),
    }
    return [f"{reader.path}: row {start + int(np.argmax(where))} {what}" for what, where in wrong.items() if where.any()]


def _manifest(path: Path) -> tuple[str, list[str]] | None:
    """Checks a manifest of a kind that vouches for files; None for other JSON files."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return str(path), [f"{path}: not JSON ({error}); delete it and run its stage again"]
    kind = content.get("kind") if isinstance(content, dict) else None
    check = {
        "pool_gradients": lambda: _gradient_defects(path, content, path.parent / "store"),
        "target_gradients": lambda: _gradient_defects(path, content, path.with_suffix("") / "store"),
        **dict.fromkeys(
            ("checkpoint", "curvature"),
            lambda: _file_defects({path.with_suffix("") / name: digest for name, digest in content["files"].items()}),
        ),
        "pool": lambda: _file_defects({path.parent / "pool.parquet": content["digest"]}),
    }.get(kind)
    if check is None:
        return None
    try:
        return f"{path}: manifest ({kind})", check()
    except UserError as error:
        return f"{path}: manifest ({kind})", [str(error)]
    except KeyError as error:
        return f"{path}: manifest ({kind})", [f"{path}: has no key {error}; delete it and run its stage again"]


def _gradient_defects(path: Path, manifest: dict, store: Path) -> list[str]:
    reader = GradientReader(store)
    start, stop = manifest["rows"]
    defects = []
    if stop > reader.rows:
        defects.append(f"{path}: says rows {start} to {stop - 1}, but {store} has {reader.rows} rows")
    chunks = range(start // CHUNK_ROWS, -(-min(stop, reader.rows) // CHUNK_ROWS))
    records = [reader.record(chunk) for chunk in chunks]
    for chunk, record, digest in zip(chunks, records, manifest["chunks"], strict=False):
        if record["digest"] != digest:
            defects.append(f"{path}: chunk {chunk} of {store} is not the one it vouches for; run its stage again")
    if len(records) != len(manifest["chunks"]):
        defects.append(f"{path}: lists {len(manifest['chunks'])} chunks, its rows make {len(records)}")
    if fingerprint([record["fingerprint"] for record in records]) != manifest["fingerprint"]:
        defects.append(f"{path}: its fingerprint is not that of {store}; run its stage again")
    if manifest["settings"] != reader.attributes["settings"]:
        defects.append(f"{path}: was made with other settings than {store}; run its stage again")
    return defects


def _file_defects(digests: dict[Path, str]) -> list[str]:
    defects = []
    for file, digest in digests.items():
        if not file.is_file():
            defects.append(f"{file}: missing; run its stage again")
        elif file_digest(file) != digest:
            defects.append(f"{file}: not the file its manifest vouches for; run its stage again")
    return defects


def _arrays(path: Path) -> tuple[str, list[str]]:
    """Any other Zarr array or group: each chunk of each array must be there and pass its checksum."""
    import zarr

    root = zarr.open(str(path), mode="r")
    arrays = {path: root} if isinstance(root, zarr.Array) else {path / name: array for name, array in root.arrays()}
    defects, rows = [], 0
    for place, array in arrays.items():
        rows = max(rows, array.shape[0])
        for index in np.ndindex(*array.cdata_shape):
            file = place.joinpath("c", *map(str, index))
            if not file.is_file():
                defects.append(f"{file}: missing chunk; run its stage again")
                continue
            bounds = tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, array.chunks, strict=True))
            try:
                array[bounds]
            except ValueError as error:
                defects.append(f"{file}: damaged chunk ({error}); run its stage again")
    return f"{path}: {len(arrays)} arrays, {rows} rows", defects
