"""What a program can reach: no file outside, no environment, no network, not the text of its tests."""

import os
import socket
from pathlib import Path

import pytest

from equipoise.evaluation import sandbox
from equipoise.evaluation.sandbox import START, run_program
from helpers.sandbox_programs import passes


def test_files_outside_cannot_be_written(confined, tmp_path):
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
    assert passes(program, confined)
    assert list(tmp_path.iterdir()) == []
    assert not any(os.path.lexists(place) for place in places[:3])
    assert Path(__file__).read_text() == untouched


def test_namespaces_show_no_file_but_pythons_and_a_small_scratch(own_namespaces, tmp_path):
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
    verdict = run_program(program, tests, ["read", "environment", "scratch", "into_python"], own_namespaces)
    assert verdict.passed, verdict.reason


def test_programs_see_no_environment(confined, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    program = (
        "def f():\n    import os\n    return dict(os.environ), open('/proc/self/environ').read() if os.path.exists('/proc/self') else ''\n"
    )
    assert passes(program, confined, "variables, raw = f()\nassert 'HF_TOKEN' not in variables and 'secret' not in raw", ["f"])


def test_nothing_reaches_the_network(confined):
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
    assert passes(program, confined)
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


def test_the_text_of_the_tests_is_out_of_reach(own_namespaces):
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
    assert not passes(program, own_namespaces, "assert f() == 42  # MARKER", ["f"])
    assert passes(program, own_namespaces, "assert f() == 0  # MARKER", ["f"])


def test_the_memory_of_the_tests_is_out_of_reach(confined):
    program = """
import os
def f():
    marker = ''.join(['MAR', 'KER']).encode()
    for pid in [p for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()] if os.path.exists('/proc') else ():
        try:
            if b'confined/start.py' not in open(f'/proc/{pid}/cmdline', 'rb').read():
                continue
            for region in open(f'/proc/{pid}/maps'):
                begin, end = (int(x, 16) for x in region.split()[0].split('-'))
                if region.split()[1].startswith('rw') and end - begin < 2**24:
                    with open(f'/proc/{pid}/mem', 'rb') as memory:
                        memory.seek(begin)
                        if marker in memory.read(end - begin):
                            return 42
        except (OSError, ValueError):
            pass
    return 0
"""
    assert passes(program, confined, "assert f() == 0  # MARKER", ["f"])


def test_a_program_starts_only_when_its_tests_are_confined(confined, monkeypatch, tmp_path):
    slow = tmp_path / "start.py"
    text = Path(sandbox.START).read_text()
    slow.write_text(text.replace("    settings = json.loads", "    import time; time.sleep(2)\n    settings = json.loads"))
    start = sandbox._start

    def checker_late(settings, channels):
        monkeypatch.setattr(sandbox, "START", slow if settings["role"] == "checker" else START)
        return start(settings, channels)

    monkeypatch.setattr(sandbox, "_start", checker_late)
    program = "import time\nbegun = time.time()\ndef started():\n    return begun\n"
    assert passes(program, confined, "import time\nassert time.time() - started() < 1.5", ["started"])


def test_a_terminal_keeps_its_settings(confined):
    ours, theirs = os.openpty()
    before = os.get_terminal_size(theirs)
    program = f"""
import fcntl, os, struct
def f():
    try:
        terminal = os.open({os.ttyname(theirs)!r}, os.O_RDONLY)
    except OSError:
        return 'closed'
    try:
        fcntl.ioctl(terminal, 0x5414, struct.pack('HHHH', 7, 7, 0, 0))
    except PermissionError:
        return 'refused'
"""
    assert passes(program, confined, "assert f() in ('closed', 'refused')", ["f"])
    assert os.get_terminal_size(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_the_scratch_folder_holds_few_files(own_namespaces):
    program = """
def made():
    for number in range(10**5):
        try:
            open(str(number), 'w').close()
        except OSError:
            return number
"""
    assert passes(program, own_namespaces, "assert 100 < made() < 2000", ["made"])


def test_the_hosts_devices_keep_their_modes_and_times(own_namespaces):
    devices = ("/dev/null", "/dev/zero", "/dev/urandom")

    def state():  # times that others change by reading are none that the program would have set
        return [(at.st_mode, at.st_uid, at.st_gid, 1.0 in (at.st_atime, at.st_mtime)) for at in map(os.stat, devices)]

    before = state()
    program = f"""
def add(a, b):
    import os
    for place in (*{devices!r}, *range(20)):
        for attempt in (lambda: os.chmod(place, 0), lambda: os.utime(place, (1, 1)), lambda: os.chown(place, 1000, 1000)):
            try:
                attempt()
            except OSError:
                pass
    open('/dev/null', 'w').write('still a device that takes all')
    if 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()):
        return 'root'
    return a + b
"""
    assert passes(program, own_namespaces)
    assert before == state()
