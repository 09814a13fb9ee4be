"""What keeps processes and servers out of tests/unit."""

import os
import subprocess
import sys

import pytest

from helpers.places import REPOSITORY

STARTS = {
    "a process": "import subprocess; subprocess.run(['true'])",
    "a shell command": "import os; os.system('true')",
    "a worker": "import multiprocessing; w = multiprocessing.get_context('spawn').Process(target=print); w.start(); w.join()",
    "a server": "import http.server; http.server.HTTPServer(('127.0.0.1', 0), None).server_close()",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> str:
    """What pytest says of unit tests that start something each, and of one that does not."""
    folder = tmp_path_factory.mktemp("unit")
    (folder / "conftest.py").write_text((REPOSITORY / "tests/unit/conftest.py").read_text())
    tests = [f"def test_{number}():\n    {line}\n" for number, line in enumerate([*STARTS.values(), "pass"])]
    (folder / "test_starts.py").write_text("\n".join(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfp", str(folder)]
    environment = os.environ | {"COLUMNS": "300"}  # whole lines
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("number", range(len(STARTS)), ids=STARTS)
def test_a_unit_test_that_starts_something_fails(said, number):
    assert f"FAILED test_starts.py::test_{number} - Failed: a unit test starts no process and opens no server" in said


def test_other_unit_tests_pass(said):
    assert f"PASSED test_starts.py::test_{len(STARTS)}" in said
