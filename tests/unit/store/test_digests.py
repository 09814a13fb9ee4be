"""Digests of large files are computed once, and again when the file is another."""

import os
import shutil
import time
from pathlib import Path

import pytest

from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.store import digests


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that counts as large and settled, and how often files were read."""
    read: list[str] = []
    monkeypatch.setattr(digests, "LARGE", 4)
    monkeypatch.setattr(digests, "file_digest", lambda path: read.append(Path(path).name) or file_digest(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "model.safetensors"
    path.write_text("weights")
    settle(path)
    return path, read


def settle(path: Path, before: float = 100.0) -> None:
    os.utime(path, (time.time() - before,) * 2)


def test_a_large_file_is_read_once(large):
    path, read = large
    assert [digests.remembered_digest(path) for _ in range(3)] == [file_digest(path)] * 3
    assert read == ["model.safetensors"]


@pytest.mark.parametrize("change", ["content", "size", "time", "another file"])
def test_a_changed_file_is_read_again(large, change):
    path, read = large
    digests.remembered_digest(path)
    if change == "another file":
        other = path.with_name("other")
        other.write_text("WEIGHTS")
        shutil.copystat(path, other)
        os.replace(other, path)
    else:
        path.write_text({"content": "WEIGHTS", "size": "weights and more", "time": "weights"}[change])
        settle(path, 50.0)
    assert digests.remembered_digest(path) == file_digest(path)
    assert len(read) == 2


def test_a_file_that_has_just_been_written_is_not_remembered(large):
    path, read = large
    path.write_text("fresh!!")
    digests.remembered_digest(path)
    digests.remembered_digest(path)
    assert len(read) == 2


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"file": 1, "digest": "x"}'])
def test_a_broken_note_is_written_anew(large, tmp_path, note):
    path, read = large
    digests.remembered_digest(path)
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(note)
    assert digests.remembered_digest(path) == file_digest(path)
    digests.remembered_digest(path)
    assert len(read) == 2


def test_without_a_cache_it_costs_time_and_nothing_else(large, monkeypatch):
    path, _ = large
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no/such/place")
    assert digests.remembered_digest(path) == file_digest(path)


def test_a_blob_of_the_hub_is_known_by_its_name_once_fetch_has_compared_it(large, tmp_path):
    path, read = large
    digest = file_digest(path)
    for folder in ("blobs", "snapshots/c0ffee"):
        (tmp_path / folder).mkdir(parents=True)
    path.rename(tmp_path / "blobs" / digest)
    link = tmp_path / "snapshots" / "c0ffee" / "model.safetensors"
    link.symlink_to(tmp_path / "blobs" / digest)
    assert digests.remembered_digest(link) == digest
    assert read == []
    digests.refuse_damaged_blobs(link.parent)
    (tmp_path / "blobs" / digest).write_text("WEIGHTS")
    with pytest.raises(UserError, match=r"model.safetensors: damaged in the hub's cache; delete .*/blobs/"):
        digests.refuse_damaged_blobs(link.parent)


def test_a_process_reads_a_settled_file_once_until_it_changes(large):
    path, read = large
    settle(path, 100.0)
    assert len({digests.digest_once(path) for _ in range(3)}) == 1
    assert len(read) == 1
    path.write_text("Weights")  # of the same size, and just now
    assert [digests.digest_once(path) for _ in range(2)] == [file_digest(path)] * 2
    assert len(read) == 3, "a file written this moment may change again without its time telling"
    settle(path, 50.0)
    shutil.copy2(path, path.with_name("another"))
    os.replace(path.with_name("another"), path)
    assert digests.digest_once(path) == file_digest(path)
    assert len(read) == 4
