"""What writers leave that were killed in the middle of a store."""

import os
import signal
import subprocess
import sys

import pytest

from equipoise.attribution.matrix_store import MatrixStore, valid_path
from equipoise.errors import UserError
from equipoise.store.gradient_writer import GradientStore
from equipoise.store.gradients import GradientReader
from equipoise.store.verify import verify
from helpers.places import REPOSITORY
from helpers.stores import ATTRIBUTES, DIMENSION, HIDDEN, write_gradients, write_matrix, write_store


def defects_of(path):
    return [defect for checked in verify(path) for defect in checked.defects]


KILLED_BEFORE_RECORD = """
import os, signal, sys
from equipoise.store import gradient_writer
from helpers.stores import write_store

write = gradient_writer.write_manifest

def killed_before_second_record(path, kind, **content):
    if path.name == "000001.json":
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, kind, **content)

gradient_writer.write_manifest = killed_before_second_record
write_store(sys.argv[1])
"""


def test_after_a_kill_finished_chunks_stay_and_the_unfinished_one_is_not_read(tmp_path):
    path = tmp_path / "store"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")}
    child = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RECORD, str(path)], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    assert (path / "directions/c/1/0").is_file()
    store = GradientStore(path, 2050, DIMENSION, ATTRIBUTES, {"last_token": HIDDEN, "position_weighted": HIDDEN})
    assert store.finished(0, "f0") is not None
    assert store.finished(1, "f1") is None
    with pytest.raises(UserError, match="chunk 1 was never finished"):
        GradientReader(path).read(1024, 1030)
    write_store(path)
    assert defects_of(path) == []


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


def test_a_matrix_whose_replacement_was_cut_off_keeps_no_flags_of_the_old_columns(tmp_path):
    """Killed after the first of two removals: the new matrix has its flags to be written."""
    write_matrix(tmp_path / "store")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")}
    cut_off = "import os, signal, sys, equipoise.store.remains as m; from helpers.stores import write_matrix"
    cut_off += "\nremoved = m.remove_store"
    cut_off += "\nm.remove_store = lambda path: (removed(path), os.kill(os.getpid(), signal.SIGKILL))\nwrite_matrix(sys.argv[1], 'other')"
    child = subprocess.run([sys.executable, "-c", cut_off, str(tmp_path / "store")], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    MatrixStore(tmp_path / "store", 1500, 3, "other")
    assert not (valid_path(tmp_path / "store") / "c").exists()
