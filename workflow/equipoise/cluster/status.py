"""Where an experiment stands, from its files alone: works while it runs, after a crash, and from another machine of the file system."""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.filesize import decimal

from equipoise.cluster.failures import Failure, failures
from equipoise.collecting import sample_size
from equipoise.config import Experiment
from equipoise.config_file import read_config
from equipoise.errors import UserError
from equipoise.experiment import gradient_epochs, stages
from equipoise.layout import Layout
from equipoise.progress import duration
from equipoise.store.gradients import CHUNK_ROWS
from equipoise.store.lease import LEASES, PATIENCE, is_gone, read_claim
from equipoise.store.manifest import read_manifest

RATE_OVER = 600.0  # seconds of which the rate is the mean


@dataclass(frozen=True)
class StageStatus:
    """A stage: items done of all, and how many are being written now."""

    stage: str
    done: int
    total: int
    running: int


@dataclass(frozen=True)
class Status:
    """An experiment: its stages, rows of pool gradients with their rate, disk, and jobs that failed.

    rows_done, rows: over all epochs. rate: rows per second of the last minutes, 0 when none are coming. seconds_left: of the pool
    gradients, None when unknown.
    """

    experiment: str
    stages: list[StageStatus]
    rows_done: int
    rows: int | None
    rate: float
    used: int
    free: int
    failed: list[Failure] = field(default_factory=list)

    @property
    def seconds_left(self) -> float | None:
        return (self.rows - self.rows_done) / self.rate if self.rows is not None and self.rate > 0 else None


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
    layout = config.layout
    planned = stages(config)
    written = _being_written({os.path.dirname(path) for stage in planned for path in stage.outputs}, now)
    states = []
    for stage in planned:
        items = [item for job in stage.jobs for item in job]
        left = [item for item in items if not item.done]
        running = sum(any(path in written for path in item.outputs) for item in left)
        states.append(StageStatus(stage.name, len(items) - len(left), len(items), running))
    rows_done, rate = _rows(config, layout, now)
    return Status(
        config.experiment,
        states,
        rows_done,
        _pool_rows(config, layout),
        rate,
        _used(configuration.parent),
        shutil.disk_usage(configuration.parent).free,
        failures(folder, configuration.parent),
    )


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


def _rows(config: Experiment, layout: Layout, now: float) -> tuple[int, float]:
    """Pool rows whose gradients are stored, over all epochs, and rows per second over the last minutes."""
    times: list[float] = []
    for epoch in gradient_epochs(config):
        chunks = Path(layout.pool_gradients(epoch)) / "chunks"
        times += [_modified(entry) for entry in _entries(chunks) if entry.name.endswith(".json") and not entry.name.startswith(".")]
    recent = sorted(moment for moment in times if now - moment < RATE_OVER)
    since = now - recent[0] if recent else 0.0
    return len(times) * CHUNK_ROWS, (len(recent) - 1) * CHUNK_ROWS / since if len(recent) > 1 and since > 0 else 0.0


def _pool_rows(config: Experiment, layout: Layout) -> int | None:
    if not os.path.isfile(layout.pool_manifest):
        return None
    rows = sample_size(config, read_manifest(layout.pool_manifest, "pool")["rows"])
    return -(-rows // CHUNK_ROWS) * CHUNK_ROWS * len(gradient_epochs(config))


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
def shown(status: Status) -> str:
    """Lines for a terminal: one per stage, then gradients, disk and failures."""
    wide = max(len(stage.stage) for stage in status.stages)
    lines = [status.experiment]
    for stage in status.stages:
        state = "done" if stage.done == stage.total else f"{stage.running} running" if stage.running else "" if stage.done else "waiting"
        if stage.total:
            lines.append(f"  {stage.stage:<{wide}}  {stage.done:>6,} of {stage.total:<6,} {state}".rstrip())
    if status.rows is not None and status.rows_done:
        rate = f"{status.rate:,.1f} rows/s" if status.rate else "none coming"
        left = f", {duration(status.seconds_left)} left" if status.seconds_left else ""
        lines.append(f"  pool gradients: {status.rows_done:,} of {status.rows:,} rows over all epochs, {rate}{left}")
    lines.append(f"  disk: {decimal(status.used)} used, {decimal(status.free)} free")
    lines.append(f"  failed jobs in the last run: {len(status.failed)}")
    for failure in status.failed:
        lines.append(f"    {failure.rule}  {failure.log}")
        lines += [f"      | {line}" for line in failure.words]
    return "\n".join(lines)
