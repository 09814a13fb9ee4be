"""`equipoise COMMAND ...`: every stage of the workflow by its rule's name, and the tools around it.

This module holds names and help only; a command imports what it needs when it runs, so that `equipoise select` starts without torch.
"""

import importlib
import pkgutil
import sys

import typer

from equipoise import commands
from equipoise.errors import UserError, printable
from equipoise.extras import missing_extra
from equipoise.files import full_disk

app = typer.Typer(
    name="equipoise",
    help="Choose instruction-tuning data by balanced influence (BIDS). The workflow calls these commands; each also works alone.",
    epilog="Example:  equipoise config check config.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _room in pkgutil.iter_modules(commands.__path__):
    if _commands := getattr(importlib.import_module(f"equipoise.commands.{_room.name}"), "app", None):
        app.add_typer(_commands)


def main() -> None:
    """Runs the command line: a user's mistake, or a full disk, is one line on standard error and exit status 2."""
    try:
        app()
    except UserError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        if (line := missing_extra(error)) is None:
            raise
        fail(line)
    except Exception as error:
        place = full_disk(error)
        if place is None:
            raise
        fail(f"{place}: no space left; free some and run again, finished work is kept")


def fail(message: str) -> None:
    """Prints one error line and ends with status 2."""
    print(printable(f"error: {message}"), file=sys.stderr)
    sys.exit(2)
