"""A status as text."""

from equipoise.cluster.status import Status


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
    lines.append(f"  disk: {size(status.used)} used, {size(status.free)} free")
    lines.append(f"  failed jobs in the last run: {len(status.failed)}")
    for failure in status.failed:
        lines.append(f"    {failure.rule}  {failure.log}")
        lines += [f"      | {line}" for line in failure.words]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.5 h, 2.1 d."""
    for limit, unit, length in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}" if unit != "h" else f"{seconds / length:.1f} h"
    return f"{seconds / 86_400:.1f} d"


def size(count: int) -> str:
    """Bytes in binary units."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
