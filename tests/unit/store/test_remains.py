"""Gradient and matrix stores: created by one job at a time on a shared file system, and cleared of what killed writers left."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from equipoise.attribution.matrix_store import MatrixStore, valid_path
from equipoise.store.gradients import open_rows
from equipoise.store.manifest import write_manifest
from equipoise.store.remains import one_at_a_time
from helpers.places import REPOSITORY
from helpers.stores import write_gradients, write_matrix, write_store

KILLED = """
import os, signal, sys
from pathlib import Path
replace = Path.replace

def killed_before_renaming(self, target):
    if self.name.endswith(".partial") and "c/1" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = killed_before_renaming
from helpers import stores
getattr(stores, sys.argv[1])(Path(sys.argv[2]))
"""


def remains(folder):
    return sorted(str(file.relative_to(folder)) for ending in ("partial", "part", "stale") for file in folder.rglob(f"*.{ending}"))


@pytest.mark.parametrize("write", [write_gradients, write_matrix])
def test_a_write_cut_off_within_a_chunk_leaves_nothing_once_it_is_repeated(tmp_path, write):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")}
    command = [sys.executable, "-c", KILLED, write.__name__, str(tmp_path / "store")]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert len(remains(tmp_path)) == 1
    write(tmp_path / "store")
    assert remains(tmp_path) == []


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
def test_a_store_is_not_created_while_another_job_creates_it(tmp_path, write):
    thread = threading.Thread(target=write, args=(tmp_path / "store",))
    with one_at_a_time(tmp_path / "store"):
        thread.start()
        time.sleep(0.5)
        assert not (tmp_path / "store").exists()
    thread.join(30)
    assert (tmp_path / "store").exists()
    assert os.listdir(tmp_path / ".leases") == []


def test_a_matrix_whose_replacement_was_cut_off_keeps_no_flags_of_the_old_columns(tmp_path):
    """Killed after the first of two removals: the new matrix has its flags to be written."""
    write_matrix(tmp_path / "store")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")}
    cut_off = "import os, signal, sys, equipoise.attribution.matrix_store as m; from helpers.stores import write_matrix"
    cut_off += "\nremoved = m.remove_store"
    cut_off += "\nm.remove_store = lambda path: (removed(path), os.kill(os.getpid(), signal.SIGKILL))\nwrite_matrix(sys.argv[1], 'other')"
    child = subprocess.run([sys.executable, "-c", cut_off, str(tmp_path / "store")], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    MatrixStore(tmp_path / "store", 1500, 3, "other")
    assert not (valid_path(tmp_path / "store") / "c").exists()


def test_readers_do_not_mind_what_is_left(tmp_path):
    write_store(tmp_path / "store")
    (tmp_path / "store" / "norm" / "c" / "0.abc.partial").touch()
    assert open_rows(tmp_path / "store").read(0, 2050).norm.shape == (2050,)
