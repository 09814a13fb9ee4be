"""Runs a model's program and answers calls to its functions. It never sees the tests."""

from __future__ import annotations

import os
import sys

from equipoise.evaluation.confined.plain import decode, encode, frame, next_frame

TYPE_CHECKING = False  # typing takes longer to import than Python to start
if TYPE_CHECKING:
    from typing import Any, BinaryIO


def serve(program: str, calls: BinaryIO, answers: BinaryIO) -> None:
    """Executes `program`, then answers frames of (function, arguments, keywords) with ("value", value) or ("error", kind, message).

    Waits for one frame first: the tests' process sends it when it is confined, so that no program meets one that is not.
    """
    if next_frame(calls) is None:
        os._exit(0)
    namespace: dict[str, Any] = {"__name__": "candidate", "__builtins__": __builtins__}
    sys.setrecursionlimit(10_000)
    broken = None
    try:
        exec(compile(program, "<program>", "exec"), namespace)
    except BaseException as error:
        broken = _named(error)
    while (call := next_frame(calls)) is not None:
        answers.write(frame(broken or _answer(namespace, *decode(call))))
        answers.flush()
    os._exit(0)


def _answer(namespace: dict[str, Any], function: str, arguments: tuple, keywords: dict[str, Any]) -> bytes:
    try:
        return encode(("value", namespace[function](*arguments, **keywords)))
    except BaseException as error:
        return _named(error)


def _named(error: BaseException) -> bytes:
    return encode(("error", type(error).__name__, str(error)[:500]))
