"""`equipoise status`: what is done, running and failed, told from files alone."""

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from equipoise.cluster.failures import failures
from equipoise.cluster.status import find_experiments, line_of, sentence, status_of
from equipoise.commands.running import app
from equipoise.errors import UserError
from equipoise.progress import duration
from equipoise.store.lease import one_writer
from equipoise.store.manifest import write_manifest
from equipoise.store.running import Record
from helpers.status import begun, stage


@pytest.fixture
def experiment(tiny_values):
    """Configuration and paths of the experiment that has begun."""
    config = begun(tiny_values)
    return config, config.layout


def finish_chunk(layout, epoch, chunk, age, now):
    record = Path(layout.pool_gradients(epoch)) / "chunks" / f"{chunk:06d}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("{}")
    os.utime(record, (now - age, now - age))


def test_done_and_running_items_are_counted_by_stage(experiment, tmp_path):
    _, layout = experiment
    write_manifest(layout.pool_manifest, "pool", rows=3000)
    Path(layout.pool).touch()
    write_manifest(layout.pool_gradients_manifest(1, "00000"), "pool_gradients")
    with one_writer(layout.pool_gradients_manifest(1, "00001")):
        status = status_of(Path(layout.config), tmp_path)
    found = stage(status, "collect_pool_gradients")
    assert (found.done, found.running, found.total) == (1, 1, 4)
    assert (stage(status, "prepare_pool").done, stage(status, "warm_up").done) == (1, 0)
    assert "now collect_pool_gradients" in sentence(status)
    assert stage(status_of(Path(layout.config), tmp_path), "collect_pool_gradients").running == 0


def test_rate_and_time_left_come_from_the_last_minutes(experiment, tmp_path):
    _, layout = experiment
    now = 2_000_000_000.0
    write_manifest(layout.pool_manifest, "pool", rows=4 * 1024 + 100)
    for chunk, age in enumerate((5000, 100, 60, 40, 20)):
        finish_chunk(layout, 1, chunk, age, now)
    found = stage(status_of(Path(layout.config), tmp_path, now), "collect_pool_gradients")
    rows = 2 * (4 * 1024 + 100)
    assert (found.rows_done, found.rows) == (4 * 1024 + 100, rows), "the last chunk is not whole"
    assert found.rate == pytest.approx((2 * 1024 + 100) / 100)
    assert found.seconds_left == pytest.approx((rows - found.rows_done) / found.rate)
    later = stage(status_of(Path(layout.config), tmp_path, now + 3600), "collect_pool_gradients")
    assert (later.rate, later.seconds_left) == (0, None)


def test_a_training_tells_its_rows_and_rate_and_what_is_left_of_the_whole(experiment, tmp_path, monkeypatch):
    _, layout = experiment
    moment = time.time()
    monkeypatch.setattr(
        "equipoise.cluster.status.read_records",
        lambda root, now: [Record("warm_up", "training", 20, 80, "rows", moment - 40, moment)],
    )
    status = status_of(Path(layout.config), tmp_path, moment)
    found = stage(status, "warm_up")
    assert (found.running, found.rows_done, found.rows, found.rate, found.seconds_left) == (1, 20, 80, 0.5, 120.0)
    assert line_of(found) == "warm_up: training, 20 of 80 rows, 30.0/min, 2 min left, 0 of 2 done"
    assert status.seconds_left > 120
    assert "now warm_up, about" in sentence(status)
    assert json.loads(json.dumps(status.values()))["stages"]


def test_a_failure_is_shown_under_its_own_experiment_alone(experiment, tmp_path):
    config, layout = experiment
    write_log(tmp_path, f"Error in rule rank:\n    jobid: 3\n    output: {layout.root}/rank\n    log: logs/rank.log\n")
    (failure,) = status_of(Path(layout.config), tmp_path).failed
    assert failure.rule == "rank"
    other = Path(config.results) / "tiny-2" / "config.yaml"
    other.parent.mkdir()
    other.write_text(Path(layout.config).read_text())
    assert status_of(other, tmp_path).failed == []


def test_files_and_folders_may_go_while_one_looks(experiment, tmp_path, monkeypatch):
    """As the parts and trainer folders of running jobs do: listed, then gone."""
    _, layout = experiment
    finish_chunk(layout, 1, 0, 10, time.time())
    Path(layout.root, "trainer", "checkpoint").mkdir(parents=True)
    Path(layout.root, "trainer", "model.part").touch()
    scan, gone, removed = os.scandir, tmp_path / "gone", []

    @contextmanager
    def listed_then_gone(folder):
        with scan(folder) as entries:
            found = list(entries)
        for entry in found if os.path.basename(folder) in ("trainer", "chunks", ".leases") else ():
            os.rename(entry.path, gone / entry.name)
            removed.append(entry.name)
        yield found

    gone.mkdir()
    with one_writer(layout.pool_gradients_manifest(1, "00001")):
        monkeypatch.setattr(os, "scandir", listed_then_gone)
        status_of(Path(layout.config), tmp_path)
        monkeypatch.undo()
    assert set(removed) == {"shard-00001.json.1", "000000.json", "checkpoint", "model.part"}


def write_log(folder, text):
    (folder / ".snakemake" / "log").mkdir(parents=True)
    (folder / ".snakemake" / "log" / "2026-01-01T000000.snakemake.log").write_text(text)


def test_last_words_are_the_end_of_the_log(tmp_path):
    write_log(tmp_path, "Error in rule rank:\n    jobid: 3\n    output: r\n    log: logs/rank.log (check log file(s) for error details)\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "rank.log").write_text("".join(f"line {i}\n\n" for i in range(50)) + "error: column 3 is constant\n")
    (failure,) = failures(tmp_path)
    assert failure.words == ["line 46", "line 47", "line 48", "line 49", "error: column 3 is constant"]
    (tmp_path / "logs" / "rank.log").unlink()
    assert "no log" in failures(tmp_path)[0].words[0]


def test_the_folder_of_results_or_one_experiment_may_be_given(experiment, tmp_path):
    config, layout = experiment
    assert find_experiments(config.results) == find_experiments(layout.experiment_root) == [Path(layout.config)]
    with pytest.raises(UserError, match="holds no experiment"):
        find_experiments(tmp_path / "nowhere")


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h"), (200_000, "2.3 d")])
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_watch_shows_it_again_and_again_until_ctrl_c(experiment, tmp_path, monkeypatch):
    config, layout = experiment
    looks = []

    def wait(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt
        write_manifest(layout.pool_manifest, "pool", rows=3000)
        Path(layout.pool).touch()

    monkeypatch.setattr("time.sleep", wait)
    done = CliRunner().invoke(app, ["status", layout.experiment_root, "--folder", str(tmp_path), "--watch"])
    assert done.exit_code == 0, done.output
    assert looks == [5.0, 5.0]
    said = [line for line in done.output.splitlines() if line.startswith(f"{config.experiment}: ")]
    assert [line.split(": ")[1].split(" of ")[0] for line in said] == ["0", "1"], "what was made in between is counted"
