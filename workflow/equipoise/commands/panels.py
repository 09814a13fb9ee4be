"""The groups in which `equipoise --help` lists commands, and the option that commands which print a table share."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

PIPE_WIDTH = 200
EVERYDAY, EXPERIMENT, STAGES, MAINTENANCE = PANELS = ("Everyday", "Experiment", "Stages", "Maintenance")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def console() -> "Console":
    """Standard output: a terminal with its width and colours, or a file or pipe, wide and plain."""
    import sys

    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def print_table(make: "Callable[[int], RenderableType]") -> None:
    """Prints what `make` returns for a width."""
    screen = console()
    screen.print(make(screen.width))


def print_json(values: object) -> None:
    """Prints plain values as JSON on standard output."""
    import json

    typer.echo(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False))
