"""No hostile program passes, changes the host or leaves anything running, whoever runs the evaluation and whatever confines."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.hostile_walk import CORPUS, SECRET
from helpers.places import REPOSITORY
from helpers.reaching_programs import REACHING
from helpers.sandbox_programs import TESTS
from helpers.users import run_as

LIVING = """
import ctypes, sys, time
from equipoise.config import Sandbox
from equipoise.evaluation.sandbox import confining, run_program
confining({mode!r})
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
import os
evaluator = os.fork()
if evaluator == 0:
    run_program({program!r}, {tests!r}, ["add"], Sandbox(mode={mode!r}, seconds=1000))
    os._exit(0)
from helpers.hostile_walk import left_behind
print(evaluator, flush=True)
sys.stdin.read(1)
print(left_behind(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("user", ["root", "ordinary"])
def test_no_hostile_program_passes_and_the_host_stays_as_it_is(user, mode):
    assert len(CORPUS) >= 100
    said = json.loads(run_as(user, ["helpers.hostile_walk", mode], {SECRET: "hf_secret_of_the_evaluator"}))
    assert (said["within"]["mode"], said["ran"]) == (mode, len(CORPUS))
    assert (said["user"] == 0) == (user == "root")
    assert said["passed"] == []
    assert (said["changed"], said["by"]) == ([], {})
    assert said["left"] == []
    assert said["right"]


@pytest.mark.parametrize(
    "name", ["files of the user", "environments of others", "descriptors of others", "its own environment", "terminals"]
)
def test_what_reaches_nothing_in_the_sandbox_reaches_it_outside(name, tmp_path):
    (tmp_path / "file").write_text("SECRET")
    program = REACHING[name].replace("BAIT", str(tmp_path)) + "\nprint('add' in globals())\n"
    command = ["sh", "-c", f"{shlex.join([sys.executable, '-c', program])}; true"]  # a shell whose environment another process may read
    done = subprocess.run(command, env={**os.environ, "WORD": "SECRET"}, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_killed_evaluator_takes_its_programs_with_it(mode):
    program = "import ctypes, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\ntime.sleep(1000)\n"
    text = LIVING.format(program=program, tests=TESTS, mode=mode)
    paths = f"{REPOSITORY / 'workflow'}:{REPOSITORY / 'tests'}"
    keeper = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}, text=True
    )
    with keeper:
        confined = wait_for(lambda: [pid for pid in descendants(keeper.pid) if is_confined(pid)], 2)
        os.kill(int(keeper.stdout.readline()), signal.SIGKILL)
        keeper.stdin.write("x")
        keeper.stdin.flush()
        assert keeper.stdout.readline() == "[]\n"
    assert not any(map(is_confined, confined))


def wait_for(found, count: int, seconds: float = 60) -> list[int]:
    deadline = time.monotonic() + seconds  # processes take a moment to start
    while len(there := found()) < count:
        assert time.monotonic() < deadline, there
        time.sleep(0.05)
    return there


def is_confined(pid: int) -> bool:
    """Whether a process is behind a filter, and alive."""
    status = of_process(pid, "status")
    return "Seccomp:\t2" in status and "State:\tZ" not in status


def children(pid: int) -> list[int]:
    return [int(child) for thread in of_process(pid, "task", True) for child in of_process(pid, f"task/{thread}/children").split()]


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def of_process(pid: int, name: str, folder: bool = False):
    path = Path(f"/proc/{pid}/{name}")
    try:
        return os.listdir(path) if folder else path.read_text()
    except OSError:
        return [] if folder else ""
