"""Faults at any write of a stage: the disk fails there (ENOSPC, EIO, ...), or the process is killed there.

A step is an opening for writing, a rename, a removal, a new folder, an fsync, or a file that safetensors or torch writes outside Python.
What a kill leaves is exactly what had been written by then: the tree is copied at that step, and laid out when the stage has ended.
Leases have drills of their own; their files are no steps here.
"""

import errno
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from equipoise.store.lease import LEASES

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FAILURES = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EACCES", "ESTALE")}
KILLS = ("killed before", "killed within")
FAULTS = (*FAILURES, *KILLS)


@dataclass
class Faults:
    """Counts the steps below `root` and makes step `at` (from 0; none: no step) go wrong in the way of `fault`."""

    root: Path
    at: int | None = None
    fault: str = "killed before"
    copy: Path | None = None
    steps: list[tuple[str, str]] = field(default_factory=list)
    met: bool = False
    _torn: Path | None = None
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def step(self, kind: str, path: str) -> None:
        """Called before each step. Raises `OSError` where the disk fails."""
        number = len(self.steps)
        self.steps.append((kind, path))
        if self._torn is not None:
            torn, self._torn = self._torn, None
            self._keep(torn)
        if number != self.at:
            return
        self.met = True
        if self.fault in FAILURES:
            raise OSError(FAILURES[self.fault], os.strerror(FAILURES[self.fault]), path)
        if self.fault == "killed within":
            self._torn = Path(path)
        else:
            self._keep()

    def end(self) -> None:
        """Called when the stage has ended: a kill within its last step comes after it."""
        if self._torn is not None:
            self._keep(self._torn)

    def _keep(self, torn: Path | None = None) -> None:
        shutil.copytree(self.root, self.copy)
        for claim in self.copy.rglob(f"{LEASES}/*"):
            if text := claim.read_text(encoding="utf-8"):
                claim.write_text(json.dumps(json.loads(text) | {"started": "before"}), encoding="utf-8")  # its holder is gone
        if torn is not None:
            file = self.copy / torn.relative_to(self.root)
            if file.is_file():
                os.truncate(file, file.stat().st_size // 2)

    def killed(self) -> bool:
        """Whether a kill was met; then the tree is laid out that it left."""
        if not self.met or self.fault not in KILLS:
            return False
        laid_out(self.copy, self.root)
        return True


def laid_out(tree: Path, root: Path) -> None:
    """Makes the tree below `root` that of a copy."""
    shutil.rmtree(root, ignore_errors=True)
    if tree.exists():
        shutil.copytree(tree, root)


_active: Faults | None = None
_own = threading.local()


def _told(kind: str, path: object) -> None:
    faults = _active
    if faults is None or getattr(_own, "copying", False) or LEASES in Path(str(path)).parts:
        return
    _own.copying = True  # copying writes too
    try:
        with faults._busy:
            faults.step(kind, str(path))
    finally:
        _own.copying = False


def _audit(event: str, arguments: tuple) -> None:
    if _active is None:
        return
    path = arguments[0] if arguments else None
    if not isinstance(path, (str, os.PathLike)) or not str(path).startswith(str(_active.root)):
        return
    if event == "open":
        if arguments[2] & WRITING:
            _told("write", path)
    elif event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
        _told(event, path)


sys.addaudithook(_audit)


@contextmanager
def faulty(faults: Faults, monkeypatch) -> Iterator[None]:
    """Steps of the block are counted, and one of them goes wrong."""
    import safetensors.torch
    import torch

    global _active

    def told(kind, real, place):
        def write(*arguments, **keywords):
            _told(kind, arguments[place])
            return real(*arguments, **keywords)

        return write

    real_fsync = os.fsync

    def fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor if isinstance(descriptor, int) else descriptor.fileno()}")
        if path.startswith(str(faults.root)):
            _told("fsync", path)
        return real_fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "serialize_file", told("safetensors", safetensors.torch.serialize_file, 1))
        patch.setattr(torch, "save", told("torch.save", torch.save, 1))
        patch.setattr(os, "fsync", fsync)
        _active = faults
        try:
            yield
        finally:
            _active = None
            faults.end()
