"""What a run's display says of snakemake's records."""

import io
import logging
import time
from pathlib import Path

import pytest

from equipoise.cluster import console
from equipoise.cluster.console import RunHandler
from equipoise.store.lease import one_writer
from helpers.status import begun

CURSOR_UP, ERASED, CURSOR_SHOWN = "\x1b[1A", "\x1b[2K", "\x1b[?25h"


def record(event: str | None = None, message: str = "", level: int = logging.INFO, **fields) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    vars(made).update(fields | ({"event": event} if event else {}))
    return made


@pytest.fixture
def said(monkeypatch):
    """A display in a log, and what it has written. No experiment is followed, whatever workflow this process has read before."""
    monkeypatch.setattr(console, "_configuration", [])
    stream = io.StringIO()
    handler = RunHandler(lambda each: each.getMessage(), stream=stream)
    yield handler, stream
    handler.close()


def test_a_log_has_a_line_for_a_finished_job_and_nothing_of_its_start(said):
    handler, stream = said
    handler.handle(record("job_info", "Rule: rank", jobid=3, rule_name="rank", wildcards={"selector": "bids", "selection_seed": "0"}))
    handler.handle(record("job_started", jobs=[3]))
    handler.handle(record("shellcmd", "python -m equipoise rank"))
    assert stream.getvalue() == ""
    assert handler.lines() == ["rank: for 0 s"]
    handler.handle(record("job_finished", "Finished jobid: 3", job_id=3))
    handler.handle(record("progress", "1 of 2 steps (50%) done", done=1, total=2))
    assert stream.getvalue()[10:] == "done: rank bids 0 in 0 s\n"
    assert handler.lines() == []


def test_errors_warnings_and_what_is_to_be_done_are_passed_on_and_chatter_is_not(said):
    handler, stream = said
    handler.handle(record(None, "Building DAG of jobs..."))
    handler.handle(record(None, "Select jobs to execute..."))
    handler.handle(record("run_info", "Job stats: ..."))
    handler.handle(record(None, "Nothing to be done (all requested files are present and up to date)."))
    handler.handle(record(None, "a warning", logging.WARNING))
    handler.handle(record("job_info", "", jobid=3, rule_name="rank", wildcards={}))
    handler.handle(record("job_error", "Error in rule rank", logging.ERROR, jobid=3))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Job stats: ..."
    assert lines[1].startswith("Nothing to be done")
    assert lines[2:] == ["a warning", "Error in rule rank"]


def test_a_dry_run_says_all_that_snakemake_says():
    stream = io.StringIO()
    handler = RunHandler(lambda each: each.getMessage(), dryrun=True, stream=stream)
    for message in ("Building DAG of jobs...", "rule rank:"):
        handler.handle(record("job_info" if message.startswith("rule") else None, message))
    assert stream.getvalue() == "Building DAG of jobs...\nrule rank:\n"


def test_a_run_that_is_stopped_shows_no_errors_of_the_jobs_that_it_ends(said):
    handler, stream = said
    handler.handle(record("job_info", "", jobid=3, rule_name="rank", wildcards={}))
    handler.handle(record("job_started", jobs=[3]))
    handler.handle(record(None, "Terminating processes on user request, this might take some time."))
    handler.handle(record("job_error", "Error in rule rank", logging.ERROR, jobid=3))
    handler.handle(record("error", "WorkflowError: At least one job did not complete successfully.", logging.ERROR))
    assert stream.getvalue() == "stopping: running jobs are told to end, which may take some seconds\n"


def test_targets_and_snakemakes_last_words_are_no_news(said):
    handler, stream = said
    handler.handle(record("job_info", "", jobid=0, rule_name="all", wildcards={}))
    handler.handle(record("job_finished", "", job_id=0))
    handler.handle(record(None, "Elapsed time: 0:05:28"))
    handler.handle(record("error", "WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR))
    assert stream.getvalue() == ""


class FakeClock:
    """What a ticker waits by: `looks` of its waits are over at once, the last one ends it. Notes how long each was to be."""

    def __init__(self, looks: int):
        self.looks, self.waits = looks, []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) > self.looks

    def is_set(self) -> bool:
        return False

    def set(self) -> None:
        self.looks = 0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def ticked(handler: RunHandler, looks: int, monkeypatch) -> list[float]:
    """Lets a display look as often at two running jobs, the first of which is a collection of two minutes; returns the waits between."""
    clock = FakeClock(looks)
    monkeypatch.setattr(handler, "_ended", clock)
    monkeypatch.setattr(handler, "_ticker", object())  # its own thread is this test
    handler.handle(record("job_info", "", jobid=3, rule_name="collect_pool_gradients", wildcards={"epoch": "1", "shard": "0"}))
    handler.handle(record("job_info", "", jobid=4, rule_name="rank", wildcards={"selector": "bids"}))
    handler.handle(record("job_started", jobs=[3, 4]))
    handler._began[3] -= 120
    handler._tick()
    return clock.waits


def test_a_log_has_a_line_a_minute_for_everything_that_runs(said, monkeypatch):
    handler, stream = said
    assert ticked(handler, 2, monkeypatch) == [60.0] * 3
    lines = stream.getvalue().splitlines()
    assert [line[10:] for line in lines] == ["collect_pool_gradients: for 2 min", "rank: for 0 s"] * 2
    assert all(time.strptime(line[:8], "%H:%M:%S") for line in lines)


def test_a_log_says_nothing_of_runs_in_which_nothing_runs(said, monkeypatch):
    handler, stream = said
    monkeypatch.setattr(handler, "_ended", FakeClock(3))
    handler._tick()
    assert stream.getvalue() == ""


def test_the_line_of_a_running_stage_is_that_of_status(said, monkeypatch, tiny_values, tmp_path):
    handler, stream = said
    config = begun(tiny_values)
    monkeypatch.setattr(console, "_configuration", [Path(config.layout.config)])
    monkeypatch.chdir(tmp_path)
    with one_writer(config.layout.pool_gradients_manifest(1, "00000")):
        ticked(handler, 1, monkeypatch)
    lines = [line[10:] for line in stream.getvalue().splitlines()]
    assert lines[0].startswith("collect_pool_gradients: ")
    assert lines[-1].startswith(f"{config.experiment}: 0 of ")
    assert "now collect_pool_gradients, rank" in lines[-1]


def test_a_terminal_shows_live_lines_every_two_seconds_and_takes_them_away(monkeypatch):
    monkeypatch.setattr(console, "_configuration", [])
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    handler = RunHandler(lambda each: each.getMessage(), stream=stream)
    assert ticked(handler, 2, monkeypatch) == [2.0] * 3
    shown = stream.getvalue()
    assert shown.count("collect_pool_gradients: for 2 min") == 2, "the same place is drawn again"
    assert CURSOR_UP in shown
    handler.handle(record("job_finished", "", job_id=4))
    assert "done: rank bids in 0 s" in stream.getvalue()
    before = len(stream.getvalue())
    handler.close()
    assert stream.getvalue()[before:].endswith(CURSOR_SHOWN) or ERASED in stream.getvalue()[before:]
    assert handler._live is None


def test_a_report_is_named_when_it_is_there(said):
    handler, stream = said
    page = "results/my/report-partial/index.html"
    handler.handle(record("job_info", "", jobid=3, rule_name="report_partial", wildcards={}, output=[page]))
    handler.handle(record("job_finished", "", job_id=3))
    assert stream.getvalue()[10:] == f"done: report_partial {page}\n"
