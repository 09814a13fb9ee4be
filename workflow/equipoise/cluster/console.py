"""What a run says while it runs: on a terminal a line for every running stage, in a log a line for every finished job and one a minute.

`RunHandler` is what snakemake's logger plugin (`snakemake_logger_plugin_equipoise`) shows a run by. Both read the records that `equipoise
status` reads. What snakemake says beside that (errors, warnings, the table of jobs) is passed on; with -n all of it is.
"""

import logging
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.cluster.status import Status, line_of, sentence, status_of
from equipoise.errors import UserError
from equipoise.progress import duration

if TYPE_CHECKING:
    from rich.live import Live

EVERY_IN_A_LOG, EVERY_ON_A_TERMINAL = 60.0, 2.0
NOISE = (
    *("Assuming unrestricted", "Building DAG", "Using shell", "Provided", "Rules claiming", "Conda environments", "Singularity containers"),
    *("Select jobs to execute", "Execute ", "Removing ", "Touching ", "Complete log", "host:", "Storing output", "Job stats"),
    *("Elapsed time", "Shutting down", "Exiting because"),
)
TARGETS = ("all", "matrix", "selections", "validation")
"""Rules without a job of their own."""
FAILED = "At least one job did not complete successfully."
"""What snakemake's last error says, once the end of a run has told more."""
_configuration: list[Path] = []
_displays: list["RunHandler"] = []


def follow(configuration: str) -> None:
    """Tells the run's display where the effective configuration of the experiment is, once it is written. Called by the workflow."""
    _configuration[:] = [Path(configuration)]


def end_display() -> None:
    """Takes the lines of running stages away, so that what a run ends with stands whole and last."""
    for handler in _displays:
        handler.close()


def is_stop(record: logging.LogRecord) -> bool:
    """Whether snakemake says that it was told to stop, by Ctrl-C or a signal."""
    return str(record.msg).startswith("Terminating processes on user request")


class RunHandler:
    """Shows the records of snakemake's log. text: what snakemake would say of one (its own formatter)."""

    def __init__(self, text: Any, dryrun: bool = False, stream: Any = None):
        self._text, self._dryrun = text, dryrun
        self._stream = stream or sys.stderr
        self._jobs: dict[int, tuple[str, str]] = {}
        self._began: dict[int, float] = {}
        self._ended, self._stopped = threading.Event(), False
        self._ticker: threading.Thread | None = None
        self._live: Live | None = None
        self._lock = threading.RLock()
        _displays.append(self)

    def handle(self, record: logging.LogRecord) -> None:
        """Shows a record, by its event."""
        if self._dryrun:
            self._say(self._text(record))
            return
        event = str(getattr(record, "event", None) or "")
        if is_stop(record):
            self._stopped = True
            self.close()
            self._say("stopping: running jobs are told to end, which may take some seconds")
            return
        if self._stopped and event != "job_finished":  # that jobs end as they were told to is no error to show
            return
        with self._lock:
            shown = getattr(self, f"_on_{event}", self._other)(record)
        if shown:
            self._say(shown)

    def close(self) -> None:
        """Takes the lines of running stages away."""
        self._ended.set()
        with self._lock:
            if self._live:
                self._live.stop()
                self._live = None

    # events
    def _on_job_info(self, record: Any) -> None:
        pages = [path for path in map(str, getattr(record, "output", None) or ()) if path.endswith("/index.html")]
        words = [record.rule_name, *(f"{value}" for value in (record.wildcards or {}).values()), *pages]
        self._jobs[record.jobid] = (record.rule_name, " ".join(words))

    def _on_job_started(self, record: Any) -> None:
        self._began |= dict.fromkeys(record.jobs, time.monotonic())
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, name="progress of the run", daemon=True)
            self._ticker.start()

    def _on_job_finished(self, record: Any) -> str | None:
        rule, words = self._jobs.pop(record.job_id, ("", f"job {record.job_id}"))
        began = self._began.pop(record.job_id, None)
        if self._live:
            self._live.update("")  # what is shown above it was true before
        if rule in TARGETS:
            return None
        took = f" in {duration(time.monotonic() - began)}" if began else ""
        return f"{time.strftime('%H:%M:%S')}  done: {words}{took}"

    def _on_progress(self, record: Any) -> None:
        return None

    def _on_job_error(self, record: Any) -> str:
        self._began.pop(record.jobid, None)
        return self._text(record)

    def _on_run_info(self, record: Any) -> str:
        return self._text(record)

    def _on_workflow_started(self, record: Any) -> None:
        return None

    def _on_shellcmd(self, record: Any) -> None:
        return None

    def _on_group_info(self, record: Any) -> None:
        return None

    def _on_resources_info(self, record: Any) -> None:
        return None

    def _other(self, record: logging.LogRecord) -> str | None:
        text = self._text(record)
        if text and FAILED in text:
            return None
        loud = record.levelno >= logging.WARNING
        return text if text and (loud or not text.strip().startswith(NOISE)) else None

    # what runs
    def _tick(self) -> None:
        terminal = self._stream.isatty()
        while not self._ended.wait(EVERY_ON_A_TERMINAL if terminal else EVERY_IN_A_LOG):
            lines = self.lines()
            if not lines:
                continue
            if terminal:
                self._show_live(lines)
            else:
                self._say("\n".join(f"{time.strftime('%H:%M:%S')}  {line}" for line in lines))

    def lines(self) -> list[str]:
        """A line for every running stage, and one for the whole; those that have only just begun too."""
        with self._lock:
            started = {self._jobs[job][0]: began for job, began in sorted(self._began.items()) if job in self._jobs}
        status = self._status()
        known = {stage.stage: line_of(stage) for stage in status.running if stage.rows} if status else {}
        lines = [known.get(rule, f"{rule}: for {duration(time.monotonic() - began)}") for rule, began in started.items()]
        return [*lines, sentence(status, list(started))] if status and lines else lines

    def _status(self) -> Status | None:
        if not _configuration or not _configuration[0].is_file():
            return None
        try:
            return status_of(_configuration[0], Path())
        except (OSError, UserError, ValueError, KeyError):  # files come and go while jobs run; the next look sees more
            return None

    def _show_live(self, lines: list[str]) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with self._lock:
            if self._ended.is_set():
                return
            if self._live is None:
                self._live = Live(console=Console(file=self._stream, highlight=False), transient=True, auto_refresh=False)
                self._live.start()
            self._live.update(Text("\n".join(lines), overflow="ellipsis", no_wrap=True), refresh=True)

    def _say(self, text: str) -> None:
        with self._lock:
            if self._live:
                self._live.console.print(text, markup=False, soft_wrap=True)
            else:
                print(text, file=self._stream, flush=True)
