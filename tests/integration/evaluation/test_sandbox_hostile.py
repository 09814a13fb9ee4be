"""Hostile programs do not pass, leave nothing running, and the run goes on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equipoise.evaluation import sandbox
from helpers.sandbox_programs import RIGHT, TESTS, passes

# a program that would pass if one thing succeeded that must not
ESCAPES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def done(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), '')
    return result
def escapes(attempt):
    global add
    try:
        attempt()
        add = lambda a, b: a + b
    except (OSError, RuntimeError, MemoryError):
        pass
"""
HOSTILE = {
    "fork bomb": """
import os
while True:
    os.fork()
""",
    "fork bomb in the call": """
def add(a, b):
    import os
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    "subprocess": """
import subprocess
subprocess.run(['sleep', '100'])
def add(a, b):
    return a + b
""",
    "memory hog": """
hog = []
while True:
    hog.append(bytearray(10**7))
""",
    "memory hog in the call": """
def add(a, b):
    return [0] * 10**10
""",
    "endless loop": """
while True:
    pass
""",
    "endless sleep": """
def add(a, b):
    import time
    time.sleep(1000)
""",
    "endless loop that catches everything": """
def add(a, b):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
    "huge output": """
import sys
for stream in (sys.stdout, sys.stderr, sys.__stdout__):
    stream.write('x' * 10**8)
def add(a, b):
    return 'x' * 10**8
""",
    "huge output on descriptors": """
import os
while True:
    for number in (1, 2):
        os.write(number, b'x' * 10**6)
""",
    "endless iterator": """
import itertools
def add(a, b):
    return itertools.count()
""",
    "nested without end": """
def add(a, b):
    x = []
    for _ in range(10**5):
        x = [x]
    return x
""",
    "exit at once": """
import os
os._exit(0)
""",
    "exit in the call": """
def add(a, b):
    import os
    os._exit(0)
""",
    "sys.exit": """
import sys
sys.exit(0)
""",
    "exit as an exception of the tests": """
def add(a, b):
    raise SystemExit(0)
""",
    "killing the parent": """
import os, signal
for target in (os.getppid(), 0, -1, 1):
    try:
        os.kill(target, signal.SIGKILL)
    except OSError:
        pass
""",
    "killing every process": """
import os, signal
for pid in range(2, 100000):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
""",
    "an object equal to everything": """
class Same:
    __hash__ = None
    def __eq__(self, other):
        return True
def add(a, b):
    return Same()
""",
    "an int equal to everything": """
class Same(int):
    __hash__ = None
    def __eq__(self, other):
        return True
def add(a, b):
    return Same(7)
""",
    "a list equal to everything": """
class Same(list):
    __hash__ = None
    def __eq__(self, other):
        return True
def add(a, b):
    return Same([7])
""",
    "patching the checker": """
import builtins, json, sys
builtins.AssertionError = type('Never', (BaseException,), {})
for module in list(sys.modules.values()):
    for name in ('judge', 'decode', 'exec', 'compile'):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
def add(a, b):
    return 7
""",
    "forged verdicts": """
import os
for number in range(256):
    for text in (b'{"passed": true, "reason": ""}', b'{"value": true}\\n'):
        try:
            os.write(number, text)
        except OSError:
            pass
os._exit(0)
""",
    "an answer that is no answer": """
import os
for number in range(3, 256):
    try:
        os.write(number, b'[[[[' * 1000 + b'\\n')
    except OSError:
        pass
""",
    "a signal to the parent through a descriptor": """
import fcntl, os, signal
reading, writing = os.pipe()
for owner, target in ((8, os.getppid()), (8, -os.getppid()), (15, __import__('struct').pack('ii', 1, os.getppid()))):
    for number in (0, signal.SIGKILL):
        try:
            fcntl.fcntl(reading, owner, target)
            fcntl.fcntl(reading, 10, number)
        except OSError:
            pass
        fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        os.write(writing, b'x')
""",
    "the parent's priority and processor": ESCAPES
    + """
escapes(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, 0)))
escapes(lambda: os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid())))
escapes(lambda: os.sched_setscheduler(os.getppid(), os.SCHED_OTHER, os.sched_param(0)))
escapes(lambda: os.sched_setparam(os.getppid(), os.sched_param(0)))
""",
    "living on after the evaluator": ESCAPES
    + """
escapes(lambda: done(libc.prctl(1, 0, 0, 0, 0)))
""",
    "memory in shared segments": ESCAPES
    + """
def held():
    segment = done(libc.shmget(0, 2**23, 0o1600))
    place = libc.shmat(segment, None, 0)
    ctypes.memset(place, 1, 2**23)
    done(libc.shmdt(ctypes.c_void_p(place)))
libc.shmat.restype = ctypes.c_void_p
for _ in range(20):
    escapes(held)
""",
    "memory in files without a name": ESCAPES
    + """
def held():
    file = os.memfd_create('hog')
    for _ in range(15):
        os.write(file, b'x' * 2**20)
for _ in range(20):
    escapes(held)
""",
    "memory in large pipes": ESCAPES
    + """
import fcntl
def held():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 2**20)
    os.write(writing, b'x' * 2**20)
for _ in range(25):
    escapes(held)
""",
    "objects that outlive the program": ESCAPES
    + """
escapes(lambda: done(libc.msgget(0, 0o1600)))
escapes(lambda: done(libc.semget(0, 1, 0o1600)))
escapes(lambda: done(libc.mq_open(b'/equipoise-escaped', 0o102, 0o600, None)))
""",
    "a crowd of threads": ESCAPES
    + """
import threading, time
threading.stack_size(32768)
for _ in range(100):
    escapes(threading.Thread(target=time.sleep, args=(100,), daemon=True).start)
""",
    "32-bit system calls": ESCAPES
    + """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, getpid; int 0x80; ret
escapes(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code))))
""",
}


@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE)
def test_hostile_programs_do_not_pass_and_the_run_goes_on(program, confined, tmp_path, monkeypatch):
    mine = shutil.copy(sandbox.START, tmp_path / "start.py")  # a path by which this test's processes are known
    monkeypatch.setattr(sandbox, "START", mine)
    objects = kernel_objects()
    start = time.monotonic()
    assert not passes(program, confined)
    assert time.monotonic() - start < sandbox.CLOCK * confined.seconds + sandbox.STARTUP_SECONDS + 5
    assert passes(RIGHT, confined)
    wait_until(lambda: not running(mine), "processes are left")
    assert kernel_objects() <= objects


def test_a_killed_evaluator_takes_its_programs_with_it(confined, tmp_path):
    mine = shutil.copy(sandbox.START, tmp_path / "start.py")
    program = "import ctypes, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\ntime.sleep(1000)\n"
    evaluator = f"""
from equipoise.config import Sandbox
from equipoise.evaluation import sandbox
sandbox.START = {str(mine)!r}
sandbox.run_program({program!r}, {TESTS!r}, ["add"], Sandbox(mode={confined.mode!r}, seconds=1000))
"""
    with subprocess.Popen([sys.executable, "-c", evaluator]) as process:
        wait_until(lambda: sum("Seccomp:\t2" in of_process(pid, "status") for pid in running(mine)) == 2, "two confined processes")
        time.sleep(1)
        process.kill()
    wait_until(lambda: not running(mine), "processes are left")


def wait_until(condition, what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds  # processes take a moment to start, and to be gone
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def running(start) -> list[str]:
    """Ids of the processes that a start.py of this path confines."""
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and str(start) in of_process(pid, "cmdline").split("\0")]


def kernel_objects() -> set[tuple[str, str]]:
    """Kind and id of the System V objects on this machine."""
    return {
        (kind, line.split()[1]) for kind in ("shm", "msg", "sem") for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
    }


def of_process(pid: str, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return ""
