"""`equipoise COMMAND ...` in the test's own process, where a new one would add nothing."""

import contextlib
import io
from dataclasses import dataclass
from unittest import mock

from equipoise import cli


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


def equipoise(*arguments: object) -> Done:
    """Runs the command line."""
    said, errors, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors), mock.patch("sys.argv", ["equipoise", *map(str, arguments)]):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
    return Done(code, said.getvalue(), errors.getvalue())
