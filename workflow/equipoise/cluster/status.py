"""Where an experiment stands, from its files alone: works while it runs, after a crash, and from another machine of the file system."""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from equipoise.cluster.costs import stage_seconds
from equipoise.cluster.failures import Failure, failures
from equipoise.collecting import sample_size
from equipoise.config import Experiment
from equipoise.config_file import read_config
from equipoise.errors import UserError
from equipoise.experiment import gradient_epochs
from equipoise.jobs import Stage, stages
from equipoise.progress import duration, pace
from equipoise.store.artefact import open_alone
from equipoise.store.gradients import CHUNK_ROWS
from equipoise.store.lease import LEASES, PATIENCE, is_gone, read_claim
from equipoise.store.running import Record, read_records

if TYPE_CHECKING:
    from rich.table import Table as RichTable

RATE_OVER = 600.0  # seconds of which the rate of pool gradients is the mean


@dataclass(frozen=True)
class StageStatus:
    """A stage: items done of all, and how many are being written now.

    rows_done, rows (0: not known): of what its running jobs do now, in units; of pool gradients over all epochs and jobs. rate: units a
    second, 0 when none are coming. seconds_left: of the stage, None when unknown. doing: what a running job does.
    """

    stage: str
    done: int
    total: int
    running: int
    doing: str = ""
    rows_done: int = 0
    rows: int = 0
    unit: str = "rows"
    rate: float = 0.0
    seconds_left: float | None = None


@dataclass(frozen=True)
class Status:
    """An experiment: its stages, disk, and jobs that failed. seconds_left: of the whole, None when unknown."""

    experiment: str
    stages: list[StageStatus]
    used: int
    free: int
    seconds_left: float | None = None
    failed: list[Failure] = field(default_factory=list)

    @property
    def running(self) -> list[StageStatus]:
        """The stages of which a job runs."""
        return [stage for stage in self.stages if stage.running]

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def find_experiments(results: str | Path) -> list[Path]:
    """Effective configurations at or directly below `results`; raises `UserError` when there is none."""
    root = Path(results)
    configurations = [root / "config.yaml"] if (root / "config.yaml").is_file() else sorted(root.glob("*/config.yaml"))
    if not configurations:
        raise UserError(f"{root}: holds no experiment; write the folder of results, or <results>/<experiment>")
    return configurations


def status_of(configuration: Path, folder: Path, now: float | None = None) -> Status:
    """The status of the experiment whose effective configuration is `configuration`; `folder` is where snakemake runs."""
    now = time.time() if now is None else now
    config = read_config(configuration)
    config = config.model_copy(update={"results": str(configuration.parent.parent), "experiment": configuration.parent.name})
    planned = stages(config)
    written = _being_written({os.path.dirname(path) for stage in planned for path in stage.outputs}, now)
    records = read_records(configuration.parent, now)
    costs = stage_seconds(config, planned, folder, records)
    states = []
    for stage in planned:
        own = [record for record in records if record.stage == stage.name]
        states.append(_stage_status(config, stage, own, written, costs.get(stage.name), now))
    at_once = max(1, sum(state.running for state in states))
    left = [_left(state, stage, costs.get(stage.name)) for state, stage in zip(states, planned, strict=True)]
    return Status(
        config.experiment,
        states,
        _used(configuration.parent),
        shutil.disk_usage(configuration.parent).free,
        None if None in left else sum(filter(None, left)) / at_once,
        failures(folder, configuration.parent),
    )


def _stage_status(
    config: Experiment, stage: Stage, records: list[Record], written: set[str], cost: float | None, now: float
) -> StageStatus:
    items = [item for job in stage.jobs for item in job]
    left = [item for item in items if not item.done]
    running = max(sum(any(path in written for path in item.outputs) for item in left), len(records))
    state = StageStatus(stage.name, len(items) - len(left), len(items), running if left else 0)
    if not left:
        return state
    if stage.name == "collect_pool_gradients" and (rows := _pool_rows(config)) is not None:
        done, rate = _stored_rows(config, rows // len(gradient_epochs(config)), now)
        done = min(rows, done + sum(record.done % CHUNK_ROWS for record in records if record.done < record.total))
        rate = rate or sum(record.rate for record in records)
        seconds = (rows - done) / rate if rate else None
        doing = records[0].title if records else ""
        return replace(state, doing=doing, rows_done=done, rows=rows, rate=rate, seconds_left=seconds)
    if not records:
        return state
    known = [record.seconds_left for record in records if record.seconds_left is not None]
    waiting = sum(1 for job in stage.jobs if not all(item.done for item in job)) - len(records)
    more = waiting * cost / len(records) if waiting > 0 and cost else 0.0
    return replace(
        state,
        doing=records[0].title,
        rows_done=sum(record.done for record in records),
        rows=sum(record.total for record in records),
        unit=records[0].unit,
        rate=sum(record.rate for record in records),
        seconds_left=max(known) + more if known else None,
    )


def _left(state: StageStatus, stage: Stage, cost: float | None) -> float | None:
    """Seconds of one process that a stage still takes; None where nothing tells."""
    jobs = sum(1 for job in stage.jobs if not all(item.done for item in job))
    if not jobs:
        return 0.0
    if state.seconds_left is not None:
        return state.seconds_left * max(1, state.running)
    return None if cost is None else jobs * cost


def _being_written(folders: set[str], now: float) -> set[str]:
    """Manifests in `folders` that a living job holds the lease of: its heartbeat is fresh, its process not known to be gone."""
    held = set()
    for folder in folders:
        leases = Path(folder) / LEASES
        for file in _entries(leases):
            name, _, generation = file.name.rpartition(".")
            claim = read_claim(leases / name, int(generation)) if generation.isdigit() else None
            if claim is not None and now - _modified(file) < PATIENCE and not is_gone(claim):
                held.add(f"{folder}/{name}")
    return held


def _stored_rows(config: Experiment, rows: int, now: float) -> tuple[int, float]:
    """Pool rows whose gradients are stored, over all epochs, and rows per second over the last minutes. rows: of the pool."""
    done, times = 0, []
    for epoch in gradient_epochs(config):
        for entry in _entries(Path(config.layout.pool_gradients(epoch)) / "chunks"):
            if entry.name.endswith(".json") and entry.name[:-5].isdigit():
                held = max(0, min(CHUNK_ROWS, rows - int(entry.name[:-5]) * CHUNK_ROWS))
                done += held
                times.append((_modified(entry), held))
    recent = sorted(each for each in times if now - each[0] < RATE_OVER)
    since = now - recent[0][0] if recent else 0.0
    return done, sum(held for _, held in recent[1:]) / since if len(recent) > 1 and since > 0 else 0.0


def _pool_rows(config: Experiment) -> int | None:
    """Rows of the pool, over all epochs whose gradients are collected; None before it is prepared."""
    try:
        return sample_size(config, open_alone(config.layout.pool_manifest, "pool")["rows"]) * len(gradient_epochs(config))
    except UserError:
        return None


def _used(folder: Path) -> int:
    """Bytes on disk below a folder."""
    used = 0
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            used += _used(Path(entry.path))
        else:
            with suppress(FileNotFoundError):
                used += entry.stat(follow_symlinks=False).st_blocks * 512
    return used


def _modified(entry: os.DirEntry) -> float:
    """When a file was last written; long ago when it has gone since it was listed."""
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _entries(folder: Path) -> list[os.DirEntry]:
    """What lies in a folder; nothing when it does not exist, or no longer: jobs remove files at any time."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


# as text
def sentence(status: Status, running: Sequence[str] | None = None) -> str:
    """Where the experiment stands, in a sentence. running: stages that run (none: as their records say)."""
    done, total = (sum(getattr(stage, name) for stage in status.stages) for name in ("done", "total"))
    if done == total:
        return f"{status.experiment}: finished."
    now = ", ".join([stage.stage for stage in status.running] if running is None else running)
    left = f", about {duration(status.seconds_left)} left" if status.seconds_left is not None and now else ""
    failed = f"; {len(status.failed)} failed jobs" if status.failed else ""
    return f"{status.experiment}: {done:,} of {total:,} parts are done; {f'now {now}{left}' if now else 'nothing runs'}{failed}."


def as_table(status: Status) -> "RichTable":
    """A line a stage."""
    from rich.table import Table as RichTable

    table = RichTable()
    for name in ("stage", "done", "of", "state", "rows", "rate", "left"):
        table.add_column(name, justify="left" if name in ("stage", "state") else "right")
    for stage in status.stages:
        if stage.total:
            state = (
                "done" if stage.done == stage.total else f"{stage.running} running" if stage.running else "" if stage.done else "waiting"
            )
            table.add_row(stage.stage, f"{stage.done:,}", f"{stage.total:,}", state, *_amounts(stage))
    return table


def _amounts(stage: StageStatus) -> tuple[str, str, str]:
    of = f" of {stage.rows:,}" if stage.rows else ""
    rows = f"{stage.rows_done:,}{of} {stage.unit}" if stage.rows or stage.rows_done else ""
    return rows, pace(stage.rate) if stage.rate else "", "" if stage.seconds_left is None else duration(stage.seconds_left)


def line_of(stage: StageStatus) -> str:
    """A running stage in a line, for a run's log."""
    rows, rate, left = _amounts(stage)
    jobs = f"{stage.done:,} of {stage.total:,} done" if stage.total > 1 else ""
    doing = stage.doing if stage.doing != stage.stage else ""
    words = [doing, rows, rate, f"{left} left" if left else "", jobs]
    return f"{stage.stage}: {', '.join(filter(None, words)) or 'running'}"


def notes(status: Status) -> list[str]:
    """Disk and failures."""
    lines = [f"disk: {decimal(status.used)} used, {decimal(status.free)} free", f"failed jobs in the last run: {len(status.failed)}"]
    for failure in status.failed:
        lines.append(f"  {failure.rule}  {failure.log}")
        lines += [f"    | {line}" for line in failure.words]
    return lines
