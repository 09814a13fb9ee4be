"""Gradient and matrix stores: created by one job at a time on a shared file system, and cleared of what killed writers left."""

import threading

import pytest

from equipoise.store import lease
from equipoise.store.gradients import GradientReader
from equipoise.store.manifest import write_manifest
from equipoise.store.remains import one_at_a_time
from helpers.stores import write_gradients, write_matrix, write_store


def remains(folder):
    return sorted(str(file.relative_to(folder)) for ending in ("partial", "part", "stale") for file in folder.rglob(f"*.{ending}"))


def test_chunks_that_other_jobs_are_writing_are_let_be(tmp_path):
    write_store(tmp_path / "store", chunks=[0])
    others = tmp_path / "store" / "norm" / "c" / "12.abc.partial"
    others.touch()
    write_store(tmp_path / "store", chunks=[1, 2])
    assert others.exists()


@pytest.mark.parametrize("write", [write_gradients, write_matrix])
def test_cut_off_metadata_and_stores_half_removed_are_cleared(tmp_path, write):
    write(tmp_path / "store")
    (tmp_path / "store" / "zarr.abc.partial").touch()
    (tmp_path / ".store.7.stale" / "c").mkdir(parents=True)
    if write is write_matrix:
        (tmp_path / ".valid.zarr.7.stale").mkdir()
    write(tmp_path / "store")
    assert remains(tmp_path) == []


def test_a_part_of_a_manifest_left_by_a_killed_writer_goes_with_the_next(tmp_path):
    (tmp_path / ".shard.json.7.part").touch()
    (tmp_path / ".shard.json.other.json.7.part").touch()
    write_manifest(tmp_path / "shard.json", "pool")
    assert [file.name for file in tmp_path.iterdir() if "other" not in file.name] == ["shard.json"]


@pytest.mark.parametrize("write", [write_gradients, write_matrix])
def test_a_store_is_not_created_while_another_job_creates_it(tmp_path, write, monkeypatch):
    waits, watch = threading.Event(), lease._watch
    monkeypatch.setattr(lease, "_watch", lambda *arguments: waits.set() or watch(*arguments))
    thread = threading.Thread(target=write, args=(tmp_path / "store",))
    with one_at_a_time(tmp_path / "store"):
        thread.start()
        assert waits.wait(30)
        assert not (tmp_path / "store").exists()
    thread.join(30)
    assert (tmp_path / "store").exists()
    assert not (tmp_path / ".leases").exists()


def test_readers_do_not_mind_what_is_left(tmp_path):
    write_store(tmp_path / "store")
    (tmp_path / "store" / "norm" / "c" / "0.abc.partial").touch()
    assert GradientReader(tmp_path / "store").read(0, 2050).norm.shape == (2050,)
