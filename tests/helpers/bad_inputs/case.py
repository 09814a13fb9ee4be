"""A bad input, and what is made of it in a folder of sound inputs."""

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A bad input.

    make: called in the folder of sound inputs (the working directory); none: the command alone is bad. command: words after `equipoise`.
    says: what the one line says, all of it. confined: permissions hold for the superuser too. largest: bytes that a file may have.
    """

    name: str
    make: Make | None
    command: str
    says: tuple[str, ...]
    confined: bool = False
    largest: int | None = None


def text(name: str, content: str) -> Make:
    """A file of this text."""
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def raw(name: str, content: bytes) -> Make:
    """A file of these bytes, in folders that may not be there yet."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return make


def encoded(name: str, encoding: str) -> Make:
    """The sound text file of this name in another encoding, with a letter that tells them apart."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_text(encoding="utf-8").replace("w1", "w\u00fc").encode(encoding))


def gzipped(name: str) -> Make:
    """The sound file of this name, compressed and called as before."""
    return lambda folder: (folder / name).write_bytes(gzip.compress((folder / name).read_bytes()))


def cut(name: str, size: int) -> Make:
    """The sound file of this name, only its first bytes."""
    return lambda folder: os.truncate(folder / name, size)


def folder_as(name: str) -> Make:
    """A folder where a file was."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return make


def pipe_as(name: str) -> Make:
    """A pipe that nobody writes to, where a file was."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def loop_as(name: str) -> Make:
    """A link to itself, where a file was."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(name)

    return make


def closed(name: str, mode: int = 0) -> Make:
    """The sound file or folder of this name, which nobody may read."""
    return lambda folder: (folder / name).chmod(mode)


def edited(name: str, **values: object) -> Make:
    """The JSON file of this name with other values; keys of None are left out."""

    def make(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8")) | values
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")

    return make


def both(*makes: Make) -> Make:
    """One after the other."""

    def make(folder: Path) -> None:
        for each in makes:
            each(folder)

    return make


def not_a_file(name: str, command: str) -> list[Case]:
    """What every reader of a file must refuse: a folder, a pipe, a loop of links, no permission, nothing there, a link to nothing."""

    def gone(folder: Path) -> None:
        (folder / name).unlink()

    def dangling(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to("nowhere")

    return [
        Case(f"{name}: a folder", folder_as(name), command, (name,)),
        Case(f"{name}: a pipe", pipe_as(name), command, (name, "not a regular file")),
        Case(f"{name}: a loop of links", loop_as(name), command, (name, "symbolic links")),
        Case(f"{name}: not readable", closed(name), command, (name, "Permission denied"), confined=True),
        Case(f"{name}: missing", gone, command, (name, "no such file")),
        Case(f"{name}: a link to nothing", dangling, command, (name, "no such file")),
    ]


def not_utf8(name: str, command: str) -> list[Case]:
    """What every reader of text must refuse: other encodings, other kinds of file under a text's name."""
    return [
        Case(f"{name}: UTF-16", encoded(name, "utf-16"), command, (name, "UTF-8")),
        Case(f"{name}: Latin-1", raw(name, b'["\xe9"]'), command, (name, "UTF-8")),
        Case(f"{name}: binary", raw(name, bytes(range(256)) * 4), command, (name,)),
        Case(f"{name}: gzip", gzipped(name), command, (name,)),
    ]
