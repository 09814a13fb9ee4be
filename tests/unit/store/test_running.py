"""Records of running jobs: written by the long loops, read while they live, gone or ignored afterwards."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from equipoise import progress
from equipoise.progress import pace, track
from equipoise.store import running
from equipoise.store.running import FOLDER, Record, keep_record, read_records


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """This process keeps a record in `tmp_path`."""
    monkeypatch.setattr(progress, "followers", [])
    monkeypatch.setattr(running, "EVERY", 0.0)
    keep_record(str(tmp_path), "warm_up")
    return tmp_path


def test_a_long_loop_is_told_from_its_first_item_on(followed):
    seen = []
    for _ in track(range(4), "training", 40, "rows", lambda item: 10):
        (record,) = read_records(followed, time.time())
        seen.append((record.stage, record.title, record.done, record.total, record.unit))
    assert seen == [("warm_up", "training", done, 40, "rows") for done in (0, 10, 20, 30)]
    assert read_records(followed, time.time())[0].done == 40


def test_a_process_is_seen_from_its_start(followed):
    (record,) = read_records(followed, time.time())
    assert (record.stage, record.title, record.rate, record.seconds_left) == ("warm_up", "starting", 0.0, None)


def test_what_is_left_of_several_trainings_counts_those_to_come(followed, monkeypatch):
    """Two trainings of 10 and 30 rows, a row a second, each followed by as long a work that no loop tells."""
    moment = [1000.0]
    monkeypatch.setattr(running.time, "time", lambda: moment[0])

    def left() -> tuple[float, float | None]:
        (record,) = read_records(followed, moment[0])
        return record.share, record.seconds_left

    seen = []
    for rows in track([10, 30], "runs of bids", 40, "rows of training", lambda rows: rows, holds_loops=True):
        seen.append(left())
        for _ in track(range(rows), "training", rows):
            moment[0] += 1
        seen.append(left())
        moment[0] += rows
    assert seen == [(0.0, None), (0.25, 30.0), (0.25, 60.0), (1.0, 0.0)]


def test_only_the_first_of_several_processes_keeps_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "followers", [])
    monkeypatch.setenv("RANK", "1")
    keep_record(str(tmp_path), "warm_up")
    assert progress.followers == []


def test_a_record_that_a_killed_process_left_does_not_count(followed):
    list(track(range(2), "training", 2))
    path = next((followed / FOLDER).iterdir())
    content = json.loads(path.read_text())
    for claim in ({"started": "1"}, {"process": 2**22 + 1}):
        path.write_text(json.dumps(content | {"claim": content["claim"] | claim}))
        assert read_records(followed, time.time()) == []
    path.write_text(json.dumps(content | {"claim": content["claim"] | {"place": "another host"}}))
    assert len(read_records(followed, content["updated"] + running.STALE - 1)) == 1
    assert read_records(followed, content["updated"] + running.STALE + 1) == []
    path.write_text("{}")
    assert read_records(followed, time.time()) == []


def test_a_disk_that_cannot_be_written_ends_no_work(followed, monkeypatch):
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    assert list(track(range(2), "training", 2)) == [0, 1]


def test_rates_are_never_zero_and_time_left_follows_from_them():
    record = Record("warm_up", "training", 0, 100, "rows", 1000.0, 1000.0)
    assert (record.rate, record.seconds_left) == (0.0, None)
    later = replace(record, done=25, updated=1050.0)
    assert (later.rate, later.seconds_left) == (0.5, 150.0)
    assert [pace(rate) for rate in (1234.5, 2.0, 0.5, 0.02, 0.001)] == ["1,234.5/s", "2.0/s", "30.0/min", "1.2/min", "3.6/h"]
