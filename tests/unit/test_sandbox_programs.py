"""Programs that a language model wrote: right ones pass, hostile ones neither escape nor pass, and the run goes on."""

import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation import sandbox
from equipoise.evaluation.sandbox import check_sandbox, run_program

RIGHT = "def add(a, b):\n    return a + b\n"
TESTS = "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'\n"


@pytest.fixture(scope="module")
def allowed() -> set[str]:
    """The modes that work on this machine."""
    found = set()
    for mode in ("namespaces", "process"):
        try:
            check_sandbox(Sandbox(mode=mode))
            found.add(mode)
        except UserError as error:
            print(mode, error)
    return found


@pytest.fixture(params=["namespaces", "process"])
def settings(request, allowed) -> Sandbox:
    if request.param not in allowed:
        pytest.skip(f"this machine does not allow sandbox.mode {request.param}")
    return Sandbox(mode=request.param, seconds=2, memory_mb=512)


@pytest.fixture
def namespaces(allowed) -> Sandbox:
    if "namespaces" not in allowed:
        pytest.skip("this machine does not allow namespaces")
    return Sandbox(mode="namespaces", seconds=5, memory_mb=512)


def passes(program, settings, tests=TESTS, functions=("add",), prelude=""):
    return run_program(program, tests, functions, settings, prelude).passed


def test_right_passes_and_wrong_fails_with_the_reason(settings):
    assert passes(RIGHT, settings)
    verdict = run_program("def add(a, b):\n    return a - b\n", TESTS, ["add"], settings)
    assert (verdict.passed, verdict.reason) == (False, "AssertionError: ")
    assert "ZeroDivisionError" in run_program("def add(a, b):\n    return 1 / 0\n", TESTS, ["add"], settings).reason
    assert "SyntaxError" in run_program("def add(:\n", TESTS, ["add"], settings).reason
    assert "KeyError" in run_program("x = 1\n", TESTS, ["add"], settings).reason


def test_plain_values_cross_both_ways(settings):
    program = "def echo(*values, **named):\n    return values, named\n"
    tests = """
values = (1, -2**70, 1.5, True, None, "t\\u2028\\n", [1, (2, {3})], {"a": [1], (1, 2): frozenset([3])}, 2j, b"x", range(3))
assert echo(*values, named=[1]) == (values, {"named": [1]})
assert type(echo(True)[0][0]) is bool
"""
    verdict = run_program(program, tests, ["echo"], settings)
    assert verdict.passed, verdict.reason


def test_iterators_and_views_keep_their_nature(settings):
    program = "def f(kind):\n    return {'map': map(str, [1, 2]), 'keys': {1: 2}.keys(), 'range': range(2)}[kind]\n"
    assert passes(program, settings, "assert list(f('map')) == ['1', '2']\nassert f('keys') == {1}\nassert f('range') == range(2)", ["f"])
    assert not passes(program, settings, "assert f('map') == ['1', '2']", ["f"])


def test_other_objects_are_true_or_not_and_equal_nothing(settings):
    program = "import re\ndef f(text):\n    return re.search('a+', text)\n"
    assert passes(program, settings, "assert f('baa')\nassert not f('b')\nassert f('a') != 'a'", ["f"])
    assert not passes(program, settings, "assert f('a') == 'a'", ["f"])


def test_expected_exceptions_reach_the_tests(settings):
    tests = "try:\n    f()\nexcept ValueError as error:\n    assert 'no' in str(error)\nelse:\n    assert False\n"
    assert passes("def f():\n    raise ValueError('no')\n", settings, tests, ["f"])
    assert not passes("def f():\n    return 1\n", settings, tests, ["f"])


def test_helpers_of_the_prelude_are_the_benchmarks_not_the_programs(settings):
    tests = "assert f(double(2)) == 4"
    assert passes("def f(x):\n    return x\n", settings, tests, ["f"], "def double(x):\n    return 2 * x\n")
    assert not passes(
        "def f(x):\n    return x\ndef double(x):\n    return 4\n", settings, tests, ["f"], "def double(x):\n    return 3 * x\n"
    )


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
}


@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE)
def test_hostile_programs_do_not_pass_and_the_run_goes_on(program, settings, tmp_path, monkeypatch):
    mine = shutil.copy(sandbox.START, tmp_path / "start.py")  # a path by which this test's processes are known
    monkeypatch.setattr(sandbox, "START", mine)
    start = time.monotonic()
    assert not passes(program, settings)
    assert time.monotonic() - start < settings.seconds + sandbox.STARTUP_SECONDS + 5
    assert passes(RIGHT, settings)
    deadline = time.monotonic() + 10  # killed processes take a moment to be gone
    while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and str(mine) in command(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_files_outside_cannot_be_written(settings, tmp_path):
    places = [str(tmp_path / "made"), "/tmp/equipoise-escaped", os.path.expanduser("~/equipoise-escaped"), "equipoise-escaped", __file__]
    untouched = Path(__file__).read_text()
    program = f"""
def add(a, b):
    import os
    for place in {places!r}:
        for attempt in (
            lambda: open(place, 'a').write('x'), lambda: os.mkdir(place), lambda: os.unlink(place), lambda: os.chmod(place, 0),
            lambda: os.truncate(place, 0), lambda: os.rename(place, place + 'x'), lambda: os.symlink('/', place),
        ):
            try:
                attempt()
            except OSError:
                pass
    return a + b
"""
    assert passes(program, settings)
    assert list(tmp_path.iterdir()) == []
    assert not any(os.path.lexists(place) for place in places[:3])
    assert Path(__file__).read_text() == untouched


def test_namespaces_show_no_file_but_pythons_and_a_small_scratch(namespaces, tmp_path):
    (tmp_path / "secret").write_text("secret")
    program = f"""
import os
def read():
    for place in ({str(tmp_path / "secret")!r}, {__file__!r}, '/etc/passwd', '/proc/1/environ', '/proc/self/mounts', '/sys/kernel'):
        if os.path.exists(place):
            return place
    return 'nothing'
def environment():
    return sorted(set(os.environ) - {{'LC_CTYPE'}}), os.listdir('.'), os.listdir('/dev')
def scratch():
    open('mine', 'w').write('x' * 1000)
    try:
        open('big', 'w').write('x' * 10**8)
    except OSError:
        return len(open('mine').read())
def into_python():
    try:
        open(os.__file__, 'a')
    except OSError as error:
        return error.errno
"""
    tests = """
assert read() == 'nothing', read()
variables, here, devices = environment()
assert (variables, here, sorted(devices)) == ([], [], ['null', 'urandom', 'zero'])
assert scratch() == 1000
assert into_python() == 30
"""
    verdict = run_program(program, tests, ["read", "environment", "scratch", "into_python"], namespaces)
    assert verdict.passed, verdict.reason


def test_programs_see_no_environment(settings, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    program = (
        "def f():\n    import os\n    return dict(os.environ), open('/proc/self/environ').read() if os.path.exists('/proc/self') else ''\n"
    )
    assert passes(program, settings, "variables, raw = f()\nassert 'HF_TOKEN' not in variables and 'secret' not in raw", ["f"])


def test_nothing_reaches_the_network(settings):
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    port = server.getsockname()[1]
    program = f"""
def add(a, b):
    import socket
    reached = []
    for family, place in ((socket.AF_INET, ('127.0.0.1', {port})), (socket.AF_INET6, ('::1', {port})), (socket.AF_UNIX, '\\0x')):
        try:
            with socket.socket(family) as one:
                one.settimeout(1)
                one.connect(place)
                reached.append(place)
        except OSError:
            pass
    return 'reached' if reached else a + b
"""
    assert passes(program, settings)
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


def test_the_text_of_the_tests_is_out_of_reach(namespaces):
    program = """
import gc, os, sys
def f():
    marker = ''.join(['MAR', 'KER'])
    def holds(thing, depth=0):
        if isinstance(thing, str):
            return marker in thing
        if isinstance(thing, bytes):
            return marker.encode() in thing
        if depth < 4 and isinstance(thing, dict):
            return any(holds(x, depth + 1) for x in list(thing.values()))
        return depth < 4 and isinstance(thing, (list, tuple)) and any(holds(x, depth + 1) for x in thing)
    seen = any(holds(thing) for thing in gc.get_objects())
    frame = sys._getframe().f_back
    while frame:
        seen = seen or holds(dict(frame.f_locals)) or holds(dict(frame.f_globals))
        frame = frame.f_back
    for folder, inner, names in os.walk('/'):
        inner[:] = [name for name in inner if os.path.join(folder, name) not in ('/usr', '/lib', '/lib64', '/dev', sys.base_prefix)]
        for name in names:
            try:
                seen = seen or marker.encode() in open(os.path.join(folder, name), 'rb').read(10**6)
            except OSError:
                pass
    return 42 if seen else 0
"""
    assert not passes(program, namespaces, "assert f() == 42  # MARKER", ["f"])
    assert passes(program, namespaces, "assert f() == 0  # MARKER", ["f"])


def test_many_threads_can_run_programs_at_once(settings):
    outcomes = {}

    def one(number):
        outcomes[number] = passes(f"def add(a, b):\n    return a + b + {number}\n", settings, "assert add(1, 1) == 5", ["add"])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {0: False, 1: False, 2: False, 3: True, 4: False}


def test_off_and_machines_without_namespaces_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"read the warning in config.yaml, then write sandbox: \{mode: namespaces\}"):
        run_program(RIGHT, TESTS, ["add"], Sandbox())
    refusing = tmp_path / "start.py"
    refusing.write_text("import sys\nsys.stdin.read()\nprint('unshare: Operation not permitted', file=sys.stderr)\nsys.exit(70)\n")
    monkeypatch.setattr(sandbox, "START", refusing)
    with pytest.raises(UserError, match=r"does not allow namespaces \(unshare: Operation not permitted\); .* sandbox: \{mode: process\}"):
        run_program(RIGHT, TESTS, ["add"], Sandbox(mode="namespaces"))
    with pytest.raises(UserError, match="evaluate programs on another one"):
        check_sandbox(Sandbox(mode="process"))
