"""What a run ends with."""

import logging

import pytest

from equipoise.cluster import ending
from equipoise.cluster.ending import tell_end, tell_failure
from equipoise.files import write_text
from helpers.reporting_experiment import FEW, make_experiment


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(ending, "_stopped", [])
    monkeypatch.chdir(tmp_path)
    return make_experiment(tmp_path, **FEW)


def test_a_run_ends_with_verdict_report_and_next_command(config, capsys):
    tell_end(config)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("3 selections, such as ")
    assert said[1].startswith("next:  equipoise export ")
    for name in ("index.html", "scores.csv"):
        write_text(f"{config.layout.report}/{name}", "")
    write_text(config.layout.verdict, "Yes against Random.\n")
    tell_end(config)
    assert capsys.readouterr().err.splitlines() == [
        "Yes against Random.",
        f"report: {config.layout.report}/index.html",
        "next:  open it in a browser",
    ]


def test_a_run_that_was_stopped_ends_with_what_is_kept_and_names_no_failure(config, capsys, monkeypatch):
    failed = ending.failures.__globals__["Failure"]("rank", "logs/rank.log", ["error: no"])
    monkeypatch.setattr(ending, "failures", lambda *_: [failed])
    tell_failure(config)
    assert capsys.readouterr().err.startswith("failed: rank, log logs/rank.log\n    | error: no\n")
    tell_failure(config, shown=True)
    assert "error: no" not in capsys.readouterr().err, "snakemake has shown the log"
    ending._Watch().handle(logging.LogRecord("snakemake", logging.INFO, "", 0, "Terminating processes on user request, ...", (), None))
    tell_failure(config)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("stopped; ")
    assert "parts are done and kept" in said[0]
    assert said[1:] == ["to go on:  type the same command again"]
