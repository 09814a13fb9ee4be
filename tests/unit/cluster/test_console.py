"""What a run's display says of snakemake's records."""

import io
import logging

import pytest

from equipoise.cluster import console
from equipoise.cluster.console import RunHandler


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


def test_a_report_is_named_when_it_is_there(said):
    handler, stream = said
    page = "results/my/report-partial/index.html"
    handler.handle(record("job_info", "", jobid=3, rule_name="report_partial", wildcards={}, output=[page]))
    handler.handle(record("job_finished", "", job_id=3))
    assert stream.getvalue()[10:] == f"done: report_partial {page}\n"
