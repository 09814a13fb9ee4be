"""Every bad input is one line with status 2, and leaves nothing behind: the table of `helpers/bad_inputs`, walked in one process."""

import ctypes
import hashlib
import os
import resource
import shlex
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import yaml

from equipoise import progress
from equipoise.store.lease import LEASES
from helpers import experiment
from helpers.bad_inputs import CASES
from helpers.bad_inputs.case import Case
from helpers.bad_inputs.matrices import A
from helpers.commands import equipoise
from helpers.rows import texts, write_jsonl

ROOM = 2 << 30
"""Bytes of memory that a command may take beyond what the process has."""
WAITS = 60  # seconds until a command counts as hanging
PAST_PERMISSIONS = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
VERSION_3 = 0x20080522


class Hangs(BaseException):
    """A command waits for what never comes; no `Exception`, which commands may catch."""


@pytest.fixture(scope="module")
def sound(tiny_base, tmp_path_factory) -> Path:
    """A folder of sound inputs."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(tiny_base, folder / "base")
    np.save(folder / "m.npy", A)
    (folder / "tasks.json").write_text('["gsm", "gsm", "code", "chat w1"]')
    write_jsonl(folder / "picks.jsonl", [{"rank": i, "row": i + 3, "score": 1.5, "column": 0, "task": "gsm"} for i in range(3)])
    values = experiment.tiny_values(folder, "base") | {"results": "results"}
    values["pool"]["files"] = ["pool.jsonl"]
    for name, task in values["tasks"].items():
        task["files"] = [f"{name}.jsonl"]
    (folder / "my.yaml").write_text("# w1\n" + yaml.safe_dump(values))
    return folder


def test_the_sound_inputs_are_sound(sound, tmp_path, monkeypatch):
    folder = shutil.copytree(sound, tmp_path / "all")
    monkeypatch.chdir(folder)
    for command in (
        "config show my.yaml",
        "plan my.yaml",
        "prepare_pool --config my.yaml",
        "prepare_targets --config my.yaml",
        "check_base --config my.yaml",
        "select m.npy --tasks tasks.json --output o.jsonl",
        "export picks.jsonl --pool pool.jsonl --output e.jsonl",
        "export picks.jsonl --pool pool.jsonl --output e.parquet --format parquet",
        "export picks.jsonl --pool pool.jsonl --output e --format huggingface",
    ):
        with left_as_it_was():
            done = equipoise(*shlex.split(command))
        assert done.returncode == 0, done.stderr
    assert list(folder.rglob(LEASES)) == []
    assert len(texts(40)) == len((folder / "pool.jsonl").read_text().splitlines())


def test_the_table_is_as_long_as_it_should_be():
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_input_is_one_line_and_leaves_nothing(case: Case, sound, tmp_path, monkeypatch):
    folder = shutil.copytree(sound, tmp_path / "inputs")
    monkeypatch.chdir(folder)
    if case.make:
        case.make(folder)
    before = held(folder)
    with left_as_it_was(), within(ROOM, case.largest), not_hanging(), confined(case.confined):
        done = equipoise(*shlex.split(case.command))
    folder.chmod(0o755)
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (2, 1), done.stderr
    assert lines[-1] == errors[0]
    assert "Traceback" not in done.stderr
    assert all(word in errors[0] for word in case.says), errors[0][:2000]
    assert len(errors[0]) < 2000
    assert held(folder) == before


def held(folder: Path) -> dict[str, object]:
    """What lies below a folder: kinds, permissions, content."""

    def content(path: Path) -> object:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return os.readlink(path)
        return mode, hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""

    return {str(path.relative_to(folder)): content(path) for path in sorted(folder.rglob("*"))}


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """The process's settings that commands change, put back."""
    with mock.patch.dict(os.environ), mock.patch.object(progress, "followers", []):
        yield


@contextmanager
def within(room: int, largest: int | None) -> Iterator[None]:
    """Address space that a command may take beyond what the process has, and bytes that a file may have."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = {resource.RLIMIT_AS: taken + room} | ({} if largest is None else {resource.RLIMIT_FSIZE: largest})
    old = {kind: resource.getrlimit(kind) for kind in limits}
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, old[kind][1]))
    try:
        yield
    finally:
        for kind, limit in old.items():
            resource.setrlimit(kind, limit)


@contextmanager
def not_hanging() -> Iterator[None]:
    """Raises `Hangs` in a command that never ends."""

    def end(*_: object) -> None:
        raise Hangs

    old = signal.signal(signal.SIGALRM, end)
    signal.alarm(WAITS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@contextmanager
def confined(wanted: bool) -> Iterator[None]:
    """Takes the superuser's right to pass over permissions from this thread; others have none."""
    if not wanted:
        yield
        return
    system = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert system.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    effective = sets[0]
    sets[0] = effective & ~PAST_PERMISSIONS
    assert system.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        sets[0] = effective
        assert system.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
