"""Runs a benchmark's own tests against functions that live in the program's process, and gives the verdict."""

from __future__ import annotations

import builtins
import os

from equipoise.evaluation.confined.plain import decode, encode, frame, next_frame

TYPE_CHECKING = False  # typing takes longer to import than Python to start
if TYPE_CHECKING:
    from typing import Any, BinaryIO

STEERING = ("StopIteration", "StopAsyncIteration")
"""Exceptions that would end the tests' own iteration over the program's answers as if there were no more of them."""


class ProgramFailed(BaseException):
    """The program is gone, or its answer is none; whatever the tests do with it, they have failed."""


class ProgramError(Exception):
    """The program raised an exception of a kind that is its own."""


class Functions:
    """The program's functions, as the tests call them; what came back, and how many assertions have held since."""

    def __init__(self, calls: BinaryIO, answers: BinaryIO):
        self.calls, self.answers = calls, answers
        self.answered = self.asserted = 0
        self.failed: str | None = None

    def named(self, name: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return self._call(name, arguments, keywords)

        call.__name__ = name
        return call

    def hold(self) -> None:
        """Called after each assertion of the tests that has held; one before any answer says nothing about the program."""
        self.asserted += self.answered > 0

    def _call(self, name: str, arguments: tuple, keywords: dict[str, Any]) -> Any:
        if self.failed is None:
            try:
                self.calls.write(frame(encode((name, arguments, keywords))))
                self.calls.flush()
                form = next_frame(self.answers)
            except OSError:
                form = None
            if form is None:
                self.failed = "the program ended, used up its processor time or answered too much"
        if self.failed is None:
            try:
                kind, *content = decode(form)
                if kind == "value":
                    (value,) = content
                    self.answered += 1
                    return value
                error, message = map(str, content)
            except (ValueError, TypeError, RecursionError):
                self.failed = "the program's answer cannot be read"
            else:
                if error not in STEERING:
                    self.answered += 1
                    raise _error(error, message)
                self.failed = f"the program raised {error}"
        raise ProgramFailed(self.failed)


def judge(prelude: str, tests: str, functions: list[str], calls: BinaryIO, answers: BinaryIO, verdict: BinaryIO) -> None:
    """Executes `prelude` (trusted helpers) and `tests`, where the names in `functions` are functions of the program.

    Writes a frame of (passed, reason): passed means that the tests ran to their end without an exception, that the program answered every
    call, and that an assertion about its answers held. `tests` call `__held__()` after each of theirs.
    """
    program = Functions(calls, answers)
    reason = None
    try:
        calls.write(frame(b""))
        calls.flush()
        namespace: dict[str, Any] = {"__name__": "tests"}
        exec(compile(prelude, "<prelude>", "exec"), namespace)
        namespace |= {name: program.named(name) for name in functions} | {"__held__": program.hold}
        exec(compile(tests, "<tests>", "exec"), namespace)
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"[:500]
    reason = program.failed or reason or ("" if program.asserted else "no assertion about the program's answers ran")
    verdict.write(frame(encode((not reason, reason))))
    verdict.flush()
    os._exit(0)


def _error(name: str, message: str) -> BaseException:
    """The program's exception, so that tests that expect one see it; only Python's own kinds, never a class of the program's."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:
            pass
    return ProgramError(f"{name}: {message}")
