"""Unit tests start no process and open no server: one that does fails, and belongs below tests/integration."""

import multiprocessing.process
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

EVENTS = {"BaseProcess.start", "socket.listen", "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}
_watched: list[str] | None = None
"""What the running test has started so far; None between tests."""


def _note(event: str, arguments: tuple) -> None:
    if _watched is not None and event in EVENTS:
        _watched.append(f"{event}{arguments!r:.200}")


def _noted(owner: type, name: str) -> None:
    """Lets calls of a method that raises no audit event be noted too."""
    call, event = getattr(owner, name), f"{owner.__name__}.{name}"

    def noted(self: object, *arguments: object) -> object:
        _note(event, (self, *arguments))
        return call(self, *arguments)

    setattr(owner, name, noted)


sys.addaudithook(_note)
_noted(multiprocessing.process.BaseProcess, "start")
_noted(socket.socket, "listen")


@contextmanager
def _alone() -> Iterator[None]:
    """Fails the test when what runs inside starts a process or opens a server."""
    global _watched
    _watched = []
    try:
        yield
        if _watched:
            pytest.fail(f"a unit test starts no process and opens no server; move it to tests/integration: {_watched[0]}", pytrace=False)
    finally:
        _watched = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _alone():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _alone():
        return (yield)
