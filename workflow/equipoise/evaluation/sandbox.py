"""Runs programs that a language model wrote against a benchmark's tests, in processes that can do nothing else.

Program and tests live in two confined processes joined by two pipes: the tests call the program's functions and get plain data back.
So a program cannot read the tests, patch what compares, or end the run with a false success: the verdict comes from the tests' process,
which never executes a line of the program.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation.confined import seccomp

START = Path(__file__).parent / "confined" / "start.py"
PACKAGE = str(Path(__file__).parents[2])
SCRATCH_BYTES = 16 * 2**20
STARTUP_SECONDS = 20
"""Two interpreters have to start before a program runs; a loaded machine may take long."""
CLOCK = 4
"""Seconds on the clock for each second of processor time: a right program must not fail because the machine is busy with others."""


@dataclass(frozen=True)
class Verdict:
    """Whether all tests passed, and why not."""

    passed: bool
    reason: str


def run_program(program: str, tests: str, functions: Sequence[str], settings: Sandbox, prelude: str = "") -> Verdict:
    """Runs `tests` against the `functions` of `program` that they name; `prelude` holds trusted helpers that the tests use.

    Passed means that the tests ran to their end within `settings.seconds` of processor time. Whatever the program does, this returns a
    verdict within `CLOCK` times as long plus the start of two processes. Raises `UserError` when the sandbox is off or cannot be set up
    here.
    """
    if settings.mode == "off":
        raise UserError(
            "sandbox.mode: off, but this task runs programs that a language model wrote; read the warning in config.yaml, then write "
            "sandbox: {mode: namespaces}"
        )
    with _Pipes() as pipes:
        common = {
            "package": PACKAGE,
            "namespaces": settings.mode == "namespaces",
            "memory": settings.memory_mb * 2**20,
            "seconds": settings.seconds,
            "scratch": SCRATCH_BYTES,
            "ready": pipes.ready[1],
        }
        candidate = {**common, "role": "candidate", "program": program, "read": pipes.calls[0], "write": pipes.answers[1]}
        checker = {**common, "role": "checker", "prelude": prelude, "tests": tests, "functions": list(functions)}
        checker |= {"read": pipes.answers[0], "write": pipes.calls[1], "verdict": pipes.verdict[1]}
        running: list[subprocess.Popen] = []
        try:
            running.append(_start(candidate, (pipes.calls[0], pipes.answers[1], pipes.ready[1])))
            running.append(_start(checker, (pipes.answers[0], pipes.calls[1], pipes.ready[1], pipes.verdict[1])))
            pipes.keep_only(pipes.ready[0], pipes.verdict[0])
            confined = _read(pipes.ready[0], STARTUP_SECONDS) == ".."
            text = _read(pipes.verdict[0], CLOCK * settings.seconds) if confined else None
        finally:
            for process in running:
                _kill(process)
            said = [_last_words(process) for process in running]
    if not confined:
        _refuse(settings, next((words for words in said if words), f"no start within {STARTUP_SECONDS} s"))
    if text is None:
        return Verdict(False, f"no verdict within {CLOCK * settings.seconds} s on the clock")
    try:
        verdict = json.loads(text)
    except ValueError:
        return Verdict(False, "the tests ended without a verdict")
    return Verdict(verdict["passed"] is True, str(verdict["reason"]))


class _Pipes:
    """The pipes between program and tests, and from the tests to us; closed at the end."""

    def __enter__(self) -> "_Pipes":
        self.calls, self.answers, self.verdict, self.ready = os.pipe(), os.pipe(), os.pipe(), os.pipe()
        self.open = {*self.calls, *self.answers, *self.verdict, *self.ready}
        return self

    def keep_only(self, *kept: int) -> None:
        for number in self.open - set(kept):
            os.close(number)
        self.open = set(kept)

    def __exit__(self, *_: Any) -> None:
        for number in self.open:
            os.close(number)


def _start(settings: dict[str, Any], channels: tuple[int, ...]) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(START)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=channels,
        env={},
        cwd="/",
        start_new_session=True,
    )
    with suppress(BrokenPipeError):  # what it died of is read from its standard error
        process.stdin.write(json.dumps(settings).encode())
        process.stdin.close()
    return process


def _read(channel: int, seconds: float) -> str | None:
    """What comes through `channel` until all its writers have closed it; None when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    text = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([channel], [], [], left)[0]:
            return None
        piece = os.read(channel, 65536)
        if not piece:
            return text.decode(errors="replace")
        text += piece
    return None


def _kill(process: subprocess.Popen) -> None:
    """Kills a confined process and all it may have started; in namespaces the kernel kills what is left with its first process."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(process: subprocess.Popen) -> str:
    with process.stderr:
        return process.stderr.read().decode(errors="replace").strip()


def _refuse(settings: Sandbox, said: str) -> None:
    if settings.mode == "namespaces":
        raise UserError(
            f"sandbox.mode: this machine does not allow namespaces ({said}); run where it does, or accept less protection with "
            "sandbox: {mode: process}"
        )
    raise UserError(f"sandbox.mode: this machine cannot confine a process ({said}); evaluate programs on another one")


def check_sandbox(settings: Sandbox) -> None:
    """Raises `UserError` unless the sandbox works here, before a model has answered anything."""
    if not seccomp.supported():
        machines = " or ".join(seccomp.MACHINES)
        raise UserError(f"sandbox.mode: no filter of system calls for {os.uname().machine}; evaluate programs on {machines}")
    verdict = run_program("def one():\n    return 1\n", "assert one() == 1", ["one"], settings)
    if not verdict.passed:
        raise UserError(f"sandbox.mode: a correct program fails in this machine's sandbox ({verdict.reason}); report it with your system")
