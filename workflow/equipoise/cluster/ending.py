"""What a run ends with: the verdict, the report and the next command; or what failed, with the last words of its log, and how to go on."""

import logging
import sys
from pathlib import Path

from equipoise.cluster.console import end_display, is_stop
from equipoise.cluster.failures import failures
from equipoise.config import Experiment
from equipoise.errors import printable
from equipoise.experiment import selections
from equipoise.jobs import stages

_stopped: list[logging.LogRecord] = []


class _Watch(logging.Handler):
    """Keeps what snakemake says when it is told to stop: its hooks are not told why jobs ended."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_stop(record):
            _stopped.append(record)


def watch_for_stop() -> None:
    """From now on a run that is stopped ends as stopped, not as failed. Called by the workflow."""
    from snakemake.logging import logger

    if not any(isinstance(handler, _Watch) for handler in logger.handlers):
        logger.addHandler(_Watch())


def tell_end(config: Experiment) -> None:
    """Of a run that made all that was asked for."""
    layout = config.layout
    page, verdict = Path(layout.report) / "index.html", Path(layout.verdict)
    made = [path for path in selections(config) if Path(path).is_file()]
    reported = all(item.done for stage in stages(config) if stage.name == "report" for job in stage.jobs for item in job)
    if page.is_file() and reported:
        said = [verdict.read_text(encoding="utf-8").strip()] if verdict.is_file() else []
        _say(*said, f"report: {page}", "next:  open it in a browser")
    elif made:
        chosen = next((path for path in made if "/bids/" in path), made[0])
        _say(f"{len(made)} selections, such as {chosen}", f"next:  equipoise export {chosen} --output selection.jsonl")


def tell_failure(config: Experiment, shown: bool = False) -> None:
    """Of a run that was stopped, or in which jobs failed: what they said, what is kept, how to go on.

    shown: snakemake has shown the logs of failed jobs itself (show-failed-logs), so that their last words are not said again.
    """
    for failure in [] if _stopped else failures(Path(), Path(config.layout.experiment_root)):
        _say(f"failed: {failure.rule}, log {failure.log}", *(f"    | {line}" for line in ([] if shown else failure.words)))
    items = [item for stage in stages(config) for job in stage.jobs for item in job]
    done = sum(item.done for item in items)
    stopped = "stopped; " if _stopped else ""
    kept = f"{stopped}{done:,} of {len(items):,} parts are done and kept, and what was begun goes on from its last finished chunk or step"
    _say(kept, "to go on:  type the same command again")


def _say(*lines: str) -> None:
    end_display()
    print(printable("\n".join(lines)), file=sys.stderr, flush=True)
