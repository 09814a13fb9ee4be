"""Shared fixtures: the tiny base, configurations around it, the hub, and how programs can be confined here."""

import os
from pathlib import Path

import pytest

from helpers import base, experiment
from helpers.places import SHARED

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: a long file that is begun last keeps one worker busy while the others have nothing left."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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


@pytest.fixture(scope="session")
def sandbox_modes() -> set[str]:
    """The modes of the sandbox that work on this machine."""
    from equipoise.config import Sandbox
    from equipoise.errors import UserError
    from equipoise.evaluation.sandbox import check_sandbox

    found = set()
    for mode in ("namespaces", "process"):
        try:
            check_sandbox(Sandbox(mode=mode))
            found.add(mode)
        except UserError as error:
            print(mode, error)
    return found


@pytest.fixture(params=["namespaces", "process"])
def confined(request, sandbox_modes):
    """Settings of the sandbox with tight limits, once for every mode."""
    from equipoise.config import Sandbox

    if request.param not in sandbox_modes:
        pytest.skip(f"this machine does not allow sandbox.mode {request.param}")
    return Sandbox(mode=request.param, seconds=2, memory_mb=512)


@pytest.fixture
def own_namespaces(sandbox_modes):
    """Settings of the sandbox in namespaces."""
    from equipoise.config import Sandbox

    if "namespaces" not in sandbox_modes:
        pytest.skip("this machine does not allow namespaces")
    return Sandbox(mode="namespaces", seconds=5, memory_mb=512)
