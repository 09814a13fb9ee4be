"""A full disk: known by what libraries say of it, and nothing half-written."""

import errno
import os

import pytest

from equipoise import cli
from equipoise.files import full_disk, refused_file
from equipoise.hub import hub_reason
from equipoise.store import manifest


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a/b"), "a/b"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk"),
        (RuntimeError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"), "disk"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "disk"),
        (OSError(errno.EACCES, "Permission denied", "a/b"), None),
        (RuntimeError("CUDA out of memory"), None),
    ],
)
def test_a_full_disk_is_known_by_what_libraries_say_of_it(error, place):
    wrapped = ValueError("cannot write")
    wrapped.__context__ = error
    assert full_disk(error) == full_disk(wrapped) == place


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "disk: Input/output error"),
        (RuntimeError(f"Error while serializing: I/O error: Stale file handle (os error {errno.ESTALE})"), "disk: Stale file handle"),
        (OSError(errno.ENOENT, "No such file or directory", "a/b"), None),
        (RuntimeError("CUDA out of memory"), None),
    ],
)
def test_a_file_that_the_system_refuses_is_named_with_its_reason(error, told):
    wrapped = ValueError("cannot write")
    wrapped.__cause__ = error
    assert refused_file(error) == refused_file(wrapped) == told


def test_a_disk_that_fills_while_a_manifest_is_written_keeps_the_old_one(tmp_path, monkeypatch, capsys):
    path = tmp_path / "manifest.json"
    manifest.write_manifest(path, "pool", rows=1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(cli, "app", lambda **_: manifest.write_manifest(path, "pool", rows=2))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {path}: no space left; free some and run again, finished work is kept\n"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
    assert manifest.read_manifest(path, "pool")["rows"] == 1


def test_a_full_cache_is_named_however_deep_the_cause_lies():
    filled = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    wrapped = RuntimeError("an error occurred while generating the dataset")
    wrapped.__cause__ = ValueError("cannot write")
    wrapped.__cause__.__context__ = filled
    assert hub_reason(wrapped) == "no space left where the hub's cache lies (HF_HOME); free some and run again"
