"""Snakemake's door to `equipoise.cluster.console`: `logger: equipoise` in a profile."""

from logging import LogRecord

from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase

from equipoise.cluster.console import RunHandler


class LogHandler(LogHandlerBase):
    """Shows a run of an experiment; failed jobs always with their logs."""

    def __post_init__(self) -> None:
        import sys

        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        quiet = set(self.common_settings.quiet or ())
        self._run = RunHandler(DefaultFormatter(quiet, show_failed_logs=True).format, self.common_settings.dryrun, stream)

    def emit(self, record: LogRecord) -> None:
        try:
            self._run.handle(record)
        except Exception:  # as every handler of logging: what cannot be shown ends no run
            self.handleError(record)

    def close(self) -> None:
        self._run.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return False

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False
