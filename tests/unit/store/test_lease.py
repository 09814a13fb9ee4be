"""One writer at a time: living holders are waited for, dead ones replaced, and a holder given up for dead stops."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from equipoise.store import lease as leases
from equipoise.store.lease import LOST, claim_file, generations, is_gone, lease, read_claim

HOLD = """
import sys, time
from equipoise.store.lease import lease
with lease(sys.argv[1], heartbeat=0.1, patience=float(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.readline()
"""
COUNT = """
import sys
from pathlib import Path
from equipoise.store.lease import lease
counter = Path(sys.argv[2])
for _ in range(5):
    with lease(sys.argv[1], heartbeat=0.05, patience=20):
        inside = counter.with_name("inside")
        inside.touch(exist_ok=False)
        value = int(counter.read_text())
        counter.write_text(str(value + 1))
        inside.unlink()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lease `tmp_path/shard`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "shard"), "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def rewrite(path, generation, **changes):
    file = path.with_name(f"{path.name}.{generation}")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_lease_names_its_job_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with lease(tmp_path / "leases" / "shard-00001"):
        claim = read_claim(tmp_path / "leases" / "shard-00001", 1)
        assert claim.described.startswith("job 4711 on ")
        assert claim.process == os.getpid()
        assert not is_gone(claim)
    assert os.listdir(tmp_path / "leases") == []


def test_leases_of_other_names_do_not_wait_for_each_other(tmp_path):
    with lease(tmp_path / "shard-00001", patience=1000), lease(tmp_path / "shard-00011", patience=1000):
        assert generations(tmp_path / "shard-0001") == []


def test_a_living_holder_is_waited_for(tmp_path, holder, capsys):
    threading.Timer(1.5, lambda: (holder.stdin.write("\n"), holder.stdin.flush())).start()
    with lease(tmp_path / "shard", heartbeat=0.1, patience=1):
        assert holder.wait(10) == 0  # it had ended before this block began
    assert "waiting until it ends" in capsys.readouterr().err


def test_a_holder_that_died_on_this_host_is_replaced_at_once(tmp_path, holder, capsys):
    holder.kill()
    holder.wait()
    with lease(tmp_path / "shard", heartbeat=0.1, patience=1000):
        assert generations(tmp_path / "shard") == [2]
    assert "the last writer died" in capsys.readouterr().err


def test_a_silent_holder_of_another_host_is_replaced_after_patience(tmp_path, holder):
    holder.kill()
    holder.wait()
    rewrite(tmp_path / "shard", 1, host="elsewhere", place="another kernel")
    before = time.monotonic()
    with lease(tmp_path / "shard", heartbeat=0.1, patience=0.7):
        assert time.monotonic() - before >= 0.7


def test_a_holder_that_was_given_up_for_dead_ends_at_its_next_heartbeat(tmp_path, holder):
    """As after a freeze: somebody created the next generation meanwhile."""
    (tmp_path / "shard.2").write_text((tmp_path / "shard.1").read_text())
    assert holder.wait(10) == LOST
    assert "took over" in holder.stderr.read()


def test_a_holder_that_cannot_write_its_heartbeat_ends_before_others_take_over(tmp_path, holder):
    before = time.monotonic()
    (tmp_path / "shard.1").unlink()
    (tmp_path / "shard.1").mkdir()  # the new claim cannot be moved here
    assert holder.wait(10) == LOST
    assert time.monotonic() - before > 0.5
    assert "no heartbeat could be written" in holder.stderr.read()


def test_a_holder_that_misses_some_heartbeats_lives_on(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "leases" / "shard"), "100"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    (tmp_path / "leases").rename(tmp_path / "away")
    time.sleep(0.5)
    missed = read_claim(tmp_path / "away" / "shard", 1).beat
    (tmp_path / "away").rename(tmp_path / "leases")
    end = time.monotonic() + 20
    while read_claim(tmp_path / "leases" / "shard", 1).beat <= missed and time.monotonic() < end:
        time.sleep(0.05)
    assert read_claim(tmp_path / "leases" / "shard", 1).beat > missed
    process.communicate("\n")
    assert process.returncode == 0


def test_a_lease_released_by_a_process_that_then_ended_is_not_dead(tmp_path, holder, monkeypatch, capsys):
    """Its claim was read just before it was released, its process looked for just after."""

    def released_meanwhile(claim):
        holder.communicate("\n")
        return is_gone(claim)

    monkeypatch.setattr(leases, "is_gone", released_meanwhile)
    with lease(tmp_path / "shard", heartbeat=0.1, patience=1000):
        assert generations(tmp_path / "shard") == [1]
    assert "died" not in capsys.readouterr().err


def test_a_new_holder_in_the_place_of_a_dead_one_is_not_removed(tmp_path, holder, monkeypatch):
    """Of three, one holds a lease again that another has just found dead: the other gives way."""
    path = tmp_path / "shard"
    dead = claim_file(path, 1).read_text()
    holder.kill()
    holder.wait()
    rewrite(path, 1, process=os.getpid(), started=leases._started(os.getpid()))
    assert not leases._create(path, 2, {1: dead})
    assert generations(path) == [1]
    claim_file(path, 1).unlink()
    assert not leases._create(path, 2, {1: dead}), "released meanwhile: anybody may have found the lease free"
    assert generations(path) == []


def test_a_reused_process_number_is_not_taken_for_the_holder(tmp_path, holder):
    rewrite(tmp_path / "shard", 1, started="1")
    assert is_gone(read_claim(tmp_path / "shard", 1))


def test_many_processes_never_hold_a_lease_together(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path / "shard"), str(counter)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert counter.read_text() == "20"
