"""Runs a benchmark's own tests against functions that live in the program's process, and gives the verdict."""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from equipoise.evaluation.confined.plain import decode, encode

LONGEST_ANSWER = 8 * 2**20


class ProgramFailed(Exception):
    """The program is gone, or gave no answer that can be read."""


def judge(prelude: str, tests: str, functions: list[str], calls: BinaryIO, answers: BinaryIO, verdict: BinaryIO) -> None:
    """Executes `prelude` (trusted helpers) and `tests`, where the names in `functions` are functions of the program.

    Writes {"passed": bool, "reason": text}: passed means that the tests ran to their end without an exception.
    """
    outcome = {"passed": True, "reason": ""}
    try:
        calls.write(b"\n")
        calls.flush()
        namespace: dict[str, Any] = {"__name__": "tests"}
        exec(compile(prelude, "<prelude>", "exec"), namespace)
        namespace |= {name: _remote(name, calls, answers) for name in functions}
        exec(compile(tests, "<tests>", "exec"), namespace)
    except BaseException as error:
        outcome = {"passed": False, "reason": f"{type(error).__name__}: {error}"[:500]}
    verdict.write(json.dumps(outcome).encode())
    verdict.close()
    os._exit(0)


def _remote(name: str, calls: BinaryIO, answers: BinaryIO) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        request = {"function": name, "arguments": encode(arguments), "keywords": encode(keywords)}
        try:
            calls.write(json.dumps(request).encode() + b"\n")
            calls.flush()
            line = answers.readline(LONGEST_ANSWER)
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise ProgramFailed("the program ended, used up its processor time or answered too much")
        try:
            answer = json.loads(line)
            if isinstance(answer, dict) and "value" in answer:
                return decode(answer["value"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ProgramFailed("the program's answer cannot be read") from error
        raise _error(answer)

    call.__name__ = name
    return call


def _error(answer: Any) -> BaseException:
    """The program's exception, so that tests that expect one see it; only Python's own kinds, never a class of the program's."""
    if not isinstance(answer, dict):
        return ProgramFailed("the program's answer cannot be read")
    kind = getattr(builtins, str(answer.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return ProgramFailed(f"{answer.get('error')}: {answer.get('message')}")
    try:
        return kind(str(answer.get("message")))
    except TypeError:
        return ProgramFailed(f"{answer.get('error')}: {answer.get('message')}")
