"""How far running jobs are: each keeps a small record below its experiment's folder, which `status` and a run's log read.

A record lies in `<results>/<experiment>/.running/<stage>.<host>.<process>.json`, is written at most every few seconds, and goes when the
process ends. One that a killed process left is known by its holder's lease fields, as a lease is, or by its age. No result depends on it.
"""

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from equipoise import progress
from equipoise.store.lease import Claim, claim_here, is_gone, is_here

FOLDER = ".running"
EVERY = 2.0
"""Seconds between two writings."""
STARTING = "starting"
STALE = 900.0
"""Seconds after which a record of another host that did not move is taken for a dead job's; a step is shorter."""


@dataclass(frozen=True)
class Record:
    """A running job's work: `done` of `total` units (0: not known) since `began`, as of `updated` (seconds since 1970).

    title: what it does now; nothing yet where total is 0. share, whole_began: where that is a part of something longer (a training of
    several), how much of it is done, in 0..1, and since when; else whole_began is 0.
    """

    stage: str
    title: str
    done: int
    total: int
    unit: str
    began: float
    updated: float
    share: float = 0.0
    whole_began: float = 0.0

    @property
    def rate(self) -> float:
        """Units a second; 0 as long as none is done."""
        return self.done / (self.updated - self.began) if self.done and self.updated > self.began else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of what it does now, or of the longer thing that this is a part of; None while that is not known."""
        if self.whole_began:
            return (self.updated - self.whole_began) * (1 - self.share) / self.share if self.share else None
        return (self.total - self.done) / self.rate if self.rate and self.total else None

    @property
    def seconds(self) -> float | None:
        """From its beginning to its end; None while that is not known."""
        began = self.whole_began or self.began
        return None if self.seconds_left is None else self.updated - began + self.seconds_left


def keep_record(experiment_root: str, stage: str) -> None:
    """From now on what this process does is written to its record: that it starts, then its long loops (`progress.track`)."""
    if os.environ.get("RANK", "0") != "0":
        return
    path = Path(experiment_root) / FOLDER / f"{stage}.{socket.gethostname()}.{os.getpid()}.json"
    progress.followers.append(writer := _Writer(path, stage))
    if path.parent.parent.is_dir():  # a stage that is refused before there is anything leaves no folder
        writer.write(STARTING, 0, 0, "")


def end_records() -> None:
    """Takes away the records that this process kept, and their folder with the last of them. Called where a command ends."""
    kept = [each for each in progress.followers if isinstance(each, _Writer)]
    progress.followers[:] = [each for each in progress.followers if each not in kept]
    for writer in kept:
        writer.remove()


class _Writer:
    """Writes a record, not too often; a disk that is full or gone is no reason to end."""

    def __init__(self, path: Path, stage: str):
        self._path, self._stage, self._title, self._began, self._written = path, stage, "", 0.0, 0.0
        self._draft, self._owner = path.with_suffix(".part"), os.getpid()
        self._absent = [folder for folder in path.parent.parents if not folder.exists()]
        self._whole = ""  # title of the loop whose items hold others
        self._whole_began, self._before, self._under_way, self._part = 0.0, 0.0, 0.0, 0.0  # the last three: shares of the whole

    def __call__(self, title: str, done: int, total: int, unit: str, under_way: int = 0) -> None:
        if under_way and not self._whole:
            self._whole, self._whole_began = title, time.time()
        if self._whole == title:
            self._before, self._under_way, self._part = done / total, under_way / total, 0.0
        elif total:
            self._part = max(self._part, done / total)
        self.write(title, done, total, unit)

    def remove(self) -> None:
        """Takes the record away, in the process that kept it, and the folders that it made and nothing else needs."""
        if os.getpid() != self._owner:
            return
        with suppress(OSError):
            for file in (self._path, self._draft):
                file.unlink(missing_ok=True)
            for folder in (self._path.parent, *self._absent):
                folder.rmdir()

    def write(self, title: str, done: int, total: int, unit: str) -> None:
        """Writes the record, if it is time or the end of a loop."""
        now = time.time()
        if title != self._title:
            self._title, self._began, self._written = title, now, 0.0
        if now - self._written < EVERY and (done < total or not total):
            return
        self._written = now
        share = self._before + self._part * self._under_way
        record = Record(self._stage, title, done, total, unit, self._began, now, share, self._whole_began)
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            self._draft.write_text(json.dumps({**asdict(record), "claim": asdict(claim_here())}), encoding="utf-8")
            os.replace(self._draft, self._path)


def read_records(experiment_root: str | Path, now: float) -> list[Record]:
    """The records of jobs that live, by stage and start."""
    found = []
    folder = Path(experiment_root) / FOLDER
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        with suppress(OSError, ValueError, TypeError, KeyError):
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            claim = Claim(**content.pop("claim"))
            record = Record(**content)
            if not is_gone(claim) if is_here(claim) else now - record.updated < STALE:
                found.append(record)
    return sorted(found, key=lambda record: (record.stage, record.began))
