"""Runs programs that a language model wrote against a benchmark's tests, in processes that can do nothing else.

Program and tests live in two confined processes joined by two pipes: the tests call the program's functions and get plain data back.
So a program cannot read the tests, patch what compares, or end the run with a false success: the verdict comes from the tests' process,
which never executes a line of the program. Neither process inherits a descriptor but its three pipes, nor a word of the environment.
"""

import ast
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation.confined import candidate, checker, namespaces, seccomp  # noqa: F401 (so that they are compiled, once)
from equipoise.evaluation.confined.plain import decode, encode, frame
from equipoise.evaluation.containers import AUTOMATIC, CONTAINERS, Container, start_command

STARTUP_SECONDS = 20
"""Two interpreters have to start before a program runs; a loaded machine may take long."""
CLOCK = 4
"""Seconds on the clock for each second of processor time: a right program must not fail because the machine is busy with others."""
TRIAL = ("def one():\n    return 1\n", "assert one() == 1", ["one"])


@dataclass(frozen=True)
class Verdict:
    """Whether all tests passed, and why not."""

    passed: bool
    reason: str


class NotConfined(Exception):
    """A process cannot be confined here; the text is what was said about it."""


def run_program(program: str, tests: str, functions: Sequence[str], settings: Sandbox, prelude: str = "") -> Verdict:
    """Runs `tests` against the `functions` of `program` that they name; `prelude` holds trusted helpers that the tests use.

    Passed means that the tests ran to their end within `settings.seconds` of processor time, that every call was answered, and that an
    assertion held after an answer. Whatever the program does, this returns a verdict within `CLOCK` times as long plus the start of two
    processes. Raises `UserError` when the sandbox is off or cannot be set up here.
    """
    container = confining(settings.mode)
    try:
        return _run(container, program, tests, functions, settings, prelude)
    except NotConfined as error:
        raise _refusal(settings.mode, {container.mode: str(error)}) from None


@lru_cache
def confining(mode: str) -> Container:
    """What confines programs under a mode of the configuration: of `auto`'s the first that works here. Raises `UserError` for none."""
    if mode == "off":
        raise UserError(
            "sandbox.mode: off, but this task runs programs that a language model wrote; read the warning in config.yaml, then write "
            "sandbox: {mode: auto}"
        )
    if not seccomp.supported():
        machines = " or ".join(seccomp.MACHINES)
        raise UserError(f"sandbox.mode: no filter of system calls for {os.uname().machine}; evaluate programs on {machines}")
    reasons = {}
    for name in AUTOMATIC if mode == "auto" else (mode,):
        try:
            CONTAINERS[name].version()
            _run(CONTAINERS[name], *TRIAL, Sandbox(mode=name))
            return CONTAINERS[name]
        except (OSError, NotConfined) as error:
            reasons[name] = str(error)
    raise _refusal(mode, reasons)


def _refusal(mode: str, reasons: dict[str, str]) -> UserError:
    said = "; ".join(f"{name}: {' '.join(reason.split())[:200]}" for name, reason in reasons.items())
    if mode == "process":
        return UserError(f"sandbox.mode: {mode} cannot confine programs here ({said}); evaluate them on another machine")
    other = "process" if mode in ("auto", *AUTOMATIC) else "auto"
    return UserError(
        f"sandbox.mode: {mode} cannot confine programs here ({said}); evaluate them on another machine, or write sandbox: {{mode: {other}}}"
    )


def check_sandbox(settings: Sandbox) -> dict[str, str]:
    """Mode and version of what confines programs. Raises `UserError` unless it works here, before a model has answered anything."""
    container = confining(settings.mode)
    verdict = run_program(*TRIAL, settings)
    if not verdict.passed:
        raise UserError(f"sandbox.mode: a correct program fails in this machine's sandbox ({verdict.reason}); report it with your system")
    return {"mode": container.mode, "version": container.version()}


def _run(container: Container, program: str, tests: str, functions: Sequence[str], settings: Sandbox, prelude: str = "") -> Verdict:
    with ExitStack() as stack:
        (calls_end, calls), (answers_end, answers) = _pipe(stack), _pipe(stack)
        ends = {"candidate": (calls_end, answers), "checker": (answers_end, calls)}
        begun = [stack.enter_context(_started(container, role, settings, *of_role)) for role, of_role in ends.items()]
        for end in (calls_end, answers_end):
            end.close()
        start = time.monotonic() + STARTUP_SECONDS
        for process in begun:
            if (first := _read(process, 1, start)) != b".":
                words = first + _read(process, 1000, time.monotonic() + 1)
                raise NotConfined(words.decode(errors="replace").strip() or f"no start within {STARTUP_SECONDS} s")
        for settled, channel in (((program,), calls), ((prelude, counted(tests), list(functions)), answers)):
            _send(frame(encode(settled)), channel)  # the checker last: then it lets the program begin
            channel.close()
        return _verdict(begun[1], CLOCK * settings.seconds)


def _pipe(stack: ExitStack) -> list[Any]:
    """The reading and the writing end of a pipe."""
    return [stack.enter_context(open(end, mode, buffering=0)) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]


@contextmanager
def _started(container: Container, role: str, settings: Sandbox, read: Any, write: Any) -> Iterator[subprocess.Popen]:
    """A confined process between two pipes, and killed with all it may have started when the context ends."""
    start = start_command(role, container.confinement, settings.memory_mb * 2**20, settings.seconds)
    environment = {name: os.environ[name] for name in container.environment if name in os.environ}
    with (
        container.run(start, STARTUP_SECONDS + CLOCK * settings.seconds) as command,
        subprocess.Popen(
            command, stdin=read, stdout=write, stderr=subprocess.PIPE, bufsize=0, env=environment, cwd="/", start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _send(content: bytes, channel: Any) -> None:
    with suppress(BrokenPipeError):  # what it died of is read from its standard error
        while content:
            content = content[channel.write(content) :]


def _read(process: subprocess.Popen, size: int, deadline: float) -> bytes:
    """What a process says to us: as many bytes, fewer when it ends or the deadline (of the monotonic clock) passes."""
    said = b""
    while len(said) < size and (left := deadline - time.monotonic()) > 0 and select.select([process.stderr], [], [], left)[0]:
        piece = process.stderr.read(size - len(said))
        if not piece:
            break
        said += piece
    return said


def _verdict(process: subprocess.Popen, seconds: int) -> Verdict:
    deadline = time.monotonic() + seconds
    head = _read(process, 4, deadline)
    form = _read(process, struct.unpack(">I", head)[0], deadline) if len(head) == 4 else b""
    try:
        passed, reason = decode(form)
    except ValueError:
        late = time.monotonic() >= deadline
        return Verdict(False, f"no verdict within {seconds} s on the clock" if late else "the tests ended without a verdict")
    return Verdict(passed is True, str(reason))


@lru_cache(maxsize=1024)
def counted(tests: str) -> str:
    """Tests that call `__held__()` after each of their assertions, but for those of a constant, which hold whatever the program does."""

    class AfterAssertions(ast.NodeTransformer):
        def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
            return [node] if isinstance(node.test, ast.Constant) else [node, *ast.parse("__held__()").body]

    try:
        return ast.unparse(AfterAssertions().visit(ast.parse(tests)))
    except SyntaxError:
        return tests  # the checker says what is wrong with them
