"""`equipoise COMMAND ...` in the test's own process, where a new one would add nothing."""

import contextlib
import io
from collections.abc import Callable
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


def ended(command: Callable[[], object]) -> tuple[int, str]:
    """Exit status of a stage called as a command, and what it says on standard error when that is not 0."""
    errors, code = io.StringIO(), 0
    with mock.patch.object(cli, "app", side_effect=lambda **_: command()), contextlib.redirect_stderr(errors):
        try:
            cli.main()
        except SystemExit as gone:
            code = gone.code or 0
        except Exception as error:
            return 1, f"{errors.getvalue()}{error!r}\n"
    return code, "".join(line for line in errors.getvalue().splitlines(keepends=True) if line.startswith("error: ")) if code else ""
