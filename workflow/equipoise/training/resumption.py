"""The folder of the Trainer's own checkpoints: whose it is, which of them are whole, and from which one a killed training goes on.

Whatever says that a thing may be used is written after it and removed before it: the marker of a checkpoint, the fingerprint of the folder.
"""

import os
import shutil
from pathlib import Path

from equipoise.files import sync_folder
from equipoise.progress import log

WHOLE = "whole"
FINGERPRINT = "fingerprint"
KEPT = 2


def open_scratch(scratch: Path, identity: str) -> None:
    """Makes `scratch` ours, for inputs of fingerprint `identity`: what belongs to others, or to nobody, is removed."""
    mark = scratch / FINGERPRINT
    if scratch.exists() and (not mark.exists() or mark.read_text() != identity):
        log(f"{scratch} belongs to another configuration; starting from the beginning")
        remove_scratch(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    mark.write_text(identity)


def remove_scratch(scratch: Path) -> None:
    """Removes the folder, its fingerprint first: a part of it is nobody's."""
    (scratch / FINGERPRINT).unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def mark_whole(scratch: Path, step: int) -> None:
    """Marks the Trainer's checkpoint of `step` as whole, its files safe on the disk, and drops all but the newest of the others."""
    folder = scratch / f"checkpoint-{step}"
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    (folder / WHOLE).touch()
    sync_folder(folder)
    for other in sorted(_steps(scratch))[:-KEPT]:
        _remove(_steps(scratch)[other])


def last_checkpoint(scratch: Path, latest: int | None = None) -> str | None:
    """The newest whole Trainer checkpoint below `scratch`, or none; parts that a kill left are removed.

    latest: step after which none may be resumed, because a result at that step is missing; later ones are removed.
    """
    steps = _steps(scratch)
    for step, folder in list(steps.items()):
        if not (folder / WHOLE).exists() or (latest is not None and step > latest):
            _remove(steps.pop(step))
    return str(steps[max(steps)]) if steps else None


def _steps(scratch: Path) -> dict[int, Path]:
    return {int(folder.name.rsplit("-", 1)[1]): folder for folder in scratch.glob("checkpoint-*")}


def _remove(checkpoint: Path) -> None:
    (checkpoint / WHOLE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)
