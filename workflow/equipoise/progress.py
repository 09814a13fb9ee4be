"""Progress of long stages: a rich bar on a terminal, plain lines with rate and time left in a log."""

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from equipoise.errors import printable

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0
followers: list[Callable[[str, int, int, str, int], None]] = []
"""Who is told how far long loops are: (description, done, total (0: not known), unit, units of the item under way), at their
start and after every item. The last is 0 but for loops whose items hold long loops themselves, of which it is told before every item."""


def log(message: str) -> None:
    """One line on standard error, with the time of day."""
    print(printable(f"{time.strftime('%H:%M:%S')}  {message}"), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.5 h, 2.1 d."""
    for limit, unit, length in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}" if unit != "h" else f"{seconds / length:.1f} h"
    return f"{seconds / 86_400:.1f} d"


def pace(rate: float) -> str:
    """A rate per second as a person says it: by the second, the minute or the hour, never 0.0."""
    for unit, length in (("s", 1), ("min", 60)):
        if rate * length >= 0.95:
            return f"{rate * length:,.1f}/{unit}"
    return f"{rate * 3600:,.1f}/h"


@contextmanager
def logged_warnings() -> Iterator[None]:
    """Logs the user warnings of a block, each on its own line, when it ends."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # what libraries say to each other
        warnings.filterwarnings("always", category=UserWarning, module=r"equipoise($|\.)")
        yield
    for warning in caught:
        log(f"warning: {warning.message}")


def track(
    items: Iterable[Item],
    description: str,
    total: int,
    unit: str = "rows",
    size: Callable[[Item], int] = lambda item: 1,
    note: Callable[[], str] = lambda: "",
    holds_loops: bool = False,
) -> Iterator[Item]:
    """Yields `items`, showing how many of `total` units (0: not known) are done and what `note()` says; `size(item)` is those of one.
    holds_loops: whether what is done with an item is itself told by loops."""
    show = _bar if sys.stderr.isatty() else _lines
    yield from show(_followed(items, description, total, unit, size, holds_loops), description, total, unit, size, note)


def tell(description: str, done: int, total: int, unit: str, under_way: int = 0) -> None:
    """Tells the followers how far a long loop is."""
    for follower in followers:
        follower(description, done, total, unit, under_way)


def _followed(items, description, total, unit, size, holds_loops):
    done = 0
    tell(description, done, total, unit)
    for item in items:
        if holds_loops:
            tell(description, done, total, unit, size(item))
        yield item
        done += size(item)
        tell(description, done, total, unit)


def _bar(items, description, total, unit, size, note):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(description, total=total or None, note="")
        for item in items:
            yield item
            progress.update(bar, advance=size(item), note=note())


def _lines(items, description, total, unit, size, note):
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and (done < total or not total):
            rate = done / (now - start)
            of, left = (f" of {total:,}", f", {duration((total - done) / rate)} left") if total else ("", "")
            line = f"{description}: {done:,}{of} {unit}, {pace(rate)}{left}"
            log(", ".join(filter(None, [line, note()])))
            last = now
    log(f"{description}: {done:,} {unit} in {time.monotonic() - start:,.1f} s")
