"""What a kill can leave on the disk: the tree below a folder before every single write of a block, and with every written file cut in half.

A killed process leaves exactly what it had written, so one run shows the result of a kill at each of its steps. Writes are openings for
writing, renames, removals, new folders, fsync, and the files that safetensors and torch write outside Python.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from equipoise.files import file_digest

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Kill:
    """Kills before (or, where so named, in the middle of) the writes `steps`, and a copy of the tree that each of them leaves."""

    steps: list[str]
    tree: Path


class Kills:
    """Collects the distinct trees below `root`; their copies lie in `copies`."""

    def __init__(self, root: Path, copies: Path):
        self._root, self._copies, self._pending = root, copies, None
        self._found: dict[tuple, Kill] = {}

    @property
    def found(self) -> list[Kill]:
        return list(self._found.values())

    def at(self, *words: str) -> Kill:
        """The first whose step has all of `words`."""
        return next(kill for kill in self.found for step in kill.steps if all(word in step for word in words))

    def before(self, kind: str, path: str) -> None:
        if self._pending is not None:
            self._keep(f"half of {self._pending[0]}", self._pending[1])
        step = f"{kind} {path.removeprefix(str(self._root))}"
        self._keep(step)
        self._pending = (step, path) if kind in ("write", "safetensors", "torch.save") else None

    def _keep(self, step: str, torn: str | None = None) -> None:
        copy = self._copies / str(len(self._found))
        shutil.copytree(self._root, copy)
        if torn is not None:
            file = copy / Path(torn).relative_to(self._root)
            if file.exists():
                os.truncate(file, file.stat().st_size // 2)
        content = tuple(sorted(tree_of(copy).items()))
        if content in self._found:
            shutil.rmtree(copy)
        self._found.setdefault(content, Kill([], copy)).steps.append(step)


def tree_of(root: Path) -> dict[str, str]:
    """Digest of every file below `root`, and "folder" for every folder, by relative path (process ids in names of parts left out)."""
    found = {str(path.relative_to(root)): file_digest(path) if path.is_file() else "folder" for path in root.rglob("*")}
    return {name.replace(f".{os.getpid()}.", "."): value for name, value in found.items()}


_active: Kills | None = None


def _audit(event: str, arguments: tuple) -> None:
    global _active
    kills = _active
    if kills is None:
        return
    path, root = arguments[0] if arguments else None, str(kills._root)
    inside = isinstance(path, (str, os.PathLike)) and str(path).startswith(root)
    if (event == "open" and inside and arguments[2] & WRITING) or (event in ("os.rename", "os.mkdir") and inside):
        kind = "write" if event == "open" else event
    elif event in ("os.remove", "os.rmdir") and (inside or arguments[1] != -1):
        kind = event
    else:
        return
    _active = None  # copying writes too
    try:
        kills.before(kind, str(path))
    finally:
        _active = kills


sys.addaudithook(_audit)


@contextmanager
def watched(root: Path, copies: Path, monkeypatch) -> Iterator[Kills]:
    """Collects what kills would leave below `root` during the block."""
    import safetensors.torch
    import torch

    global _active

    def told(kind, real, place):
        def write(*arguments, **keywords):
            global _active
            kills, _active = _active, None
            if kills is not None:
                kills.before(kind, str(arguments[place]))
            _active = kills
            return real(*arguments, **keywords)

        return write

    root.mkdir(parents=True, exist_ok=True)
    _active = kills = Kills(root, copies)
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "serialize_file", told("safetensors", safetensors.torch.serialize_file, 1))
        patch.setattr(torch, "save", told("torch.save", torch.save, 1))
        try:
            yield kills
        finally:
            _active = None


def laid_out(kill: Kill, root: Path) -> None:
    """Makes the tree below `root` the one that the kill left."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(kill.tree, root)
