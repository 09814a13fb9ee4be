"""Runs a model's program and answers calls to its functions. It never sees the tests."""

import json
import os
import sys
from typing import Any, BinaryIO

from equipoise.evaluation.confined.plain import decode, encode


def serve(program: str, calls: BinaryIO, answers: BinaryIO) -> None:
    """Executes `program`, then answers {"function", "arguments", "keywords"} lines with {"value"} or {"error"} lines until they end.

    Waits for one line first: the tests' process sends it when it is confined, so that no program meets one that is not.
    """
    calls.readline()
    namespace: dict[str, Any] = {"__name__": "candidate", "__builtins__": __builtins__}
    sys.setrecursionlimit(10_000)
    broken = None
    try:
        exec(compile(program, "<program>", "exec"), namespace)
    except BaseException as error:
        broken = _named(error)
    for line in calls:
        answers.write(json.dumps(broken or _call(namespace, json.loads(line))).encode() + b"\n")
        answers.flush()
    os._exit(0)


def _call(namespace: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    try:
        function = namespace[call["function"]]
        return {"value": encode(function(*decode(call["arguments"]), **decode(call["keywords"])))}
    except BaseException as error:
        return _named(error)


def _named(error: BaseException) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)[:500]}
