"""Which files a configuration names, and their rows one after another, each with its place, read by suffix.

What spoils one row (a line that is not JSON) comes as a row with a problem; what spoils a file (its encoding, a cut archive) is a
`UserError`. Memory: a row of a text file, or a batch of a table.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from equipoise.conversation.messages import BadRow
from equipoise.conversation.tables import BATCH_ROWS, arrow_rows, parquet_rows, saved_rows, table_rows
from equipoise.conversation.text_files import COMPRESSIONS, csv_rows, json_rows, tsv_rows
from equipoise.errors import UserError

TEXT_READERS = {".json": json_rows, ".jsonl": json_rows, ".ndjson": json_rows, ".csv": csv_rows, ".tsv": tsv_rows}
READERS = {**TEXT_READERS, ".parquet": parquet_rows, ".arrow": arrow_rows}
# beside data in folders: of a `save_to_disk` folder and of one with its splits, of the hub and of LLaMA-Factory
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"
NO_DATA = {SAVED, SAVED_SPLITS, "dataset_info.json", "dataset_infos.json"}


@dataclass(frozen=True)
class Row:
    """One row: its file and line (of a table: row), the id and source it has unless it says so, and its value or problem."""

    file: str
    line: int
    made_id: str
    source: str
    value: Any
    problem: BadRow | None = None

    @property
    def where(self) -> str:
        """Its place, as messages say it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class DataFile:
    """A file, or a folder saved by `datasets`. name: its path from the folder all files share, without suffixes where that is unique."""

    path: Path
    name: str


def find_files(entries: Iterable[str | Path]) -> list[DataFile]:
    """The data files that files, folders (searched through) and patterns name: entries in their order, each one's files sorted.

    Raises `UserError` for an entry that names nothing, a file named twice, and one that is no regular file or of no known suffix.
    """
    paths = [path for entry in entries for path in _named_by(str(entry))]
    twice = [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise UserError(f"{twice[0]}: named twice; name every file once (folders and patterns count)")
    absolute = [Path(os.path.abspath(path)) for path in paths]
    root = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
    whole = [path.relative_to(root).as_posix() for path in absolute]
    short = [name.removesuffix(_suffix(path)) for name, path in zip(whole, paths, strict=True)]
    counts = Counter(short)
    return [DataFile(path, s if counts[s] == 1 else w) for path, s, w in zip(paths, short, whole, strict=True)]


def input_files(entries: Iterable[str]) -> list[str]:
    """Every file that files, folders and patterns name, for who waits for them or takes their digests: entries in their order.

    A file that is not there yet stands for itself, a folder saved by `datasets` for the files in it. Raises `UserError` for a folder
    without data files, and for a pattern that fits none.
    """
    files: list[str] = []
    for entry in entries:
        path = Path(entry)
        if path.is_file() or not (path.exists() or has_magic(entry)):
            files.append(entry)
            continue
        for named in _named_by(entry):
            files += sorted(str(file) for file in named.iterdir() if file.is_file()) if named.is_dir() else [str(named)]
    return files


def unreadable(entry: str) -> bool:
    """Whether an entry's name says that it is a file of a kind that is not read; whether it is there is not asked, but for folders."""
    path = Path(entry)
    return bool(path.suffix) and not (_suffix(path) or has_magic(entry) or path.is_dir())


def read_rows(file: DataFile) -> Iterator[Row]:
    """The rows of a file. Raises `UserError` naming the file, and the line where there is one, for what cannot be read on."""
    import pyarrow as pa

    path, suffix = file.path, _suffix(file.path)
    reader = READERS["." + suffix.lower().split(".")[1]] if suffix else saved_rows
    try:
        for number, (line, value, problem) in enumerate(reader(path)):
            yield Row(str(path), line, f"{file.name}-{number}", path.name.removesuffix(suffix), value, problem)
    except (OSError, ValueError, OverflowError, NotImplementedError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({reason}); write it again, under the suffix of what it is") from None


def dataset_rows(dataset: Any, name: str) -> Iterator[Row]:
    """The rows of a `datasets.Dataset`, without decoding media. name: what its rows are called after."""
    tables = dataset.with_format("arrow").iter(batch_size=BATCH_ROWS)
    for number, (line, value, _) in enumerate(table_rows(tables)):
        yield Row(name, line, f"{name}/{number}", name, value)


def load_hub(dataset: str, name: str | None, revision: str, split: str | None = None) -> Any:
    """One split of the hub data set of `pool.dataset`, or all by name (name: its config). Raises `UserError` for what neither the hub nor
    its cache has."""
    from datasets import load_dataset

    from equipoise.hub import hub_reason

    try:
        return load_dataset(dataset, name, revision=revision, split=split)
    except Exception as error:
        which = f"{dataset!r} at revision {revision!r}" + (f", config {name!r}" if name else "") + (f", split {split!r}" if split else "")
        raise UserError(f"pool.dataset: cannot load {which}: {hub_reason(error)}") from None


def _named_by(entry: str) -> list[Path]:
    path = Path(entry)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        found = [match for match in glob(entry, recursive=True) if match != entry]  # a link to nothing is found by its own name
        matches = sorted(path for match in found for path in _named_by(match))
        if not matches:
            raise UserError(f"{entry}: no such file; write the path of a file, a folder or a pattern") from None
        return matches
    except (OSError, ValueError) as error:
        raise UserError(f"{entry!r}: {getattr(error, 'strerror', None) or error}; write the path of a file") from None
    if stat.S_ISDIR(mode):
        return _in_folder(path)
    if not stat.S_ISREG(mode):
        raise UserError(f"{entry}: not a regular file; write its content to one first")
    if not _suffix(path):
        raise UserError(f"{entry}: no known suffix; write one of {', '.join(READERS)}, with .gz or .zst after text")
    return [path]


def _in_folder(folder: Path) -> list[Path]:
    if (folder / SAVED).is_file():
        return [folder]
    if (folder / SAVED_SPLITS).is_file():
        raise UserError(f"{folder}: holds splits; write the folder of one, as {folder / 'train'}")
    files = (path for path in folder.rglob("*") if path.is_file() and _suffix(path) and path.name not in NO_DATA)
    shown = sorted(path for path in files if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts))
    if not shown:
        raise UserError(f"{folder}: a folder without data files; write the path of one with {', '.join(READERS)} files")
    return shown


def _suffix(path: Path) -> str:
    """What a file's name, as written, says of its content: `.jsonl.gz`; empty where that is nothing known, as for a folder."""
    *_, kind, last = ["", "", *path.suffixes]
    if last.lower() in COMPRESSIONS and kind.lower() in TEXT_READERS:
        return kind + last
    return last if last.lower() in READERS and not path.is_dir() else ""
