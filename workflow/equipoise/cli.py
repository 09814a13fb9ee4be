"""`equipoise COMMAND ...`: every stage of the workflow by its rule's name, and the tools around it.

This module holds names and help only; a command imports what it needs when it runs, so that `equipoise --help` starts without the
configuration's models and `equipoise select` without torch.
"""

import importlib
import os
import pkgutil
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from equipoise import __version__, commands
from equipoise.commands.panels import PANELS
from equipoise.errors import UserError, printable
from equipoise.extras import missing_extra
from equipoise.files import full_disk, refused_file
from equipoise.store.running import end_records


class Commands(TyperGroup):
    """Commands in the order of their panels; a name is understood with dashes and with underscores."""

    def list_commands(self, ctx):
        return sorted(super().list_commands(ctx), key=lambda name: PANELS.index(self.commands[name].rich_help_panel))

    def get_command(self, ctx, cmd_name):
        return next(
            filter(None, (self.commands.get(name) for name in (cmd_name, cmd_name.replace("-", "_"), cmd_name.replace("_", "-")))), None
        )


app = typer.Typer(
    name="equipoise",
    cls=Commands,
    help="Choose instruction-tuning data by balanced influence (BIDS). The workflow calls these commands; each also works alone.",
    epilog="Example:  equipoise check config.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for _room in pkgutil.iter_modules(commands.__path__):
    if _commands := getattr(importlib.import_module(f"equipoise.commands.{_room.name}"), "app", None):
        app.add_typer(_commands)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"equipoise {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.", callback=_tell_version, is_eager=True)] = False,
) -> None:
    """Choose instruction-tuning data by balanced influence (BIDS). The workflow calls these commands; each also works alone."""


def main() -> None:
    """Runs the command line: a user's mistake, or a disk that is full or fails, is one line on standard error and exit status 2.

    A reader that closes its pipe, as `head` does, has what it wanted: status 0.
    """
    try:
        app(prog_name="equipoise")
    except UserError as error:
        fail(str(error))
    except (SystemExit, BrokenPipeError) as ended:
        if not isinstance(ended, BrokenPipeError) and not isinstance(ended.__context__, BrokenPipeError) and _flushed():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more at its end
        sys.exit(0)
    except ModuleNotFoundError as error:
        if (line := missing_extra(error)) is None:
            raise
        fail(line)
    except Exception as error:
        if place := full_disk(error):
            fail(f"{place}: no space left; free some and run again, finished work is kept")
        if (refused := refused_file(error)) is None:
            raise
        fail(f"{refused}; mend that, or name another place, and run again, finished work is kept")
    finally:
        end_records()


def _flushed() -> bool:
    """Writes out what was printed; whether there is still a reader."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True


def fail(message: str) -> None:
    """Prints one error line and ends with status 2."""
    print(printable(f"error: {message}"), file=sys.stderr)
    sys.exit(2)
