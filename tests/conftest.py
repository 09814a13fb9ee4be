"""Shared fixtures: the tiny base, configurations around it, the hub, and how programs can be confined here."""

import os
from pathlib import Path

import pytest

from helpers import base, experiment
from helpers.places import SHARED

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: a long file that is begun last keeps one worker busy while the others have nothing left.

    The order is random otherwise, but for the tests of a file marked `in_order`, which go on from one another's results.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for path in {item.path for item in items if item.get_closest_marker("in_order")}:
        places = [place for place, item in enumerate(items) if item.path == path]
        written = sorted((items[place] for place in places), key=lambda item: item.function.__code__.co_firstlineno)
        for place, item in zip(places, written, strict=True):
            items[place] = item


@pytest.fixture(scope="session")
def tiny_base() -> Path:
    """Folder of a random 2-layer Llama (hidden 32, grouped-query attention) in safetensors with its tokenizer."""
    return base.tiny_base()


@pytest.fixture
def tiny_values(tiny_base, tmp_path) -> dict:
    """Raw values of a small valid experiment below `tmp_path`: 40 pool rows, two jsonl tasks of 4 validation examples."""
    return experiment.tiny_values(tmp_path, tiny_base)


@pytest.fixture
def tiny_config(tiny_values):
    """`tiny_values`, validated."""
    from equipoise.config_file import parse_config

    return parse_config(tiny_values)


@pytest.fixture
def shared_hub() -> Path:
    """Folder of the loopback hub; skips where it is absent (a user's clone has none)."""
    if not (SHARED / "hub" / "serve.py").exists():
        pytest.skip(f"no loopback hub at {SHARED / 'hub'}")
    return SHARED / "hub"


MODES = ("bubblewrap", "namespaces", "process")
"""The modes of the sandbox that tests run in; podman and runsc have one of their own."""


@pytest.fixture(params=MODES)
def mode(request) -> str:
    """A mode of the sandbox, once for each; skips with the reason where it does not work here."""
    return usable_mode(request.param)


@pytest.fixture(scope="session")
def sandbox_modes() -> set[str]:
    """The modes of the sandbox that work on this machine."""
    return {mode for mode in MODES if refused(mode) is None}


@pytest.fixture
def confined(mode):
    """Settings of the sandbox with tight limits, once for every mode."""
    from equipoise.config import Sandbox

    return Sandbox(mode=mode, seconds=2, memory_mb=512)


def usable_mode(mode: str) -> str:
    """The mode itself; skips with the reason where it does not work here."""
    if reason := refused(mode):
        pytest.skip(reason)
    return mode


def refused(mode: str) -> str | None:
    """Why a mode of the sandbox does not work on this machine; none where it does."""
    from equipoise.errors import UserError
    from equipoise.evaluation.sandbox import confining

    try:
        confining(mode)
    except UserError as error:
        return str(error)
    return None
