"""What a program can reach: no network, not the text of its tests, and nothing before its tests are confined."""

import socket
import subprocess

import pytest

from equipoise.evaluation.confined.plain import encode, frame
from equipoise.evaluation.containers import start_command
from helpers.sandbox_programs import passes


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


def test_the_text_of_the_tests_is_out_of_reach(confined):
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
    assert not passes(program, confined, "assert f() == 42  # MARKER", ["f"])
    assert passes(program, confined, "assert f() == 0  # MARKER", ["f"])


def test_a_program_starts_only_when_its_tests_are_confined():
    program = "import os\nfor number in range(64):\n    try:\n        os.write(number, b'started')\n    except OSError:\n        pass\n"
    command, settings = start_command("candidate", "landlock", 2**29, 2), frame(encode((program,)))
    waiting, told = (subprocess.run(command, input=settings + go, capture_output=True, env={}, check=True) for go in (b"", frame(b"")))
    assert (waiting.stdout, waiting.stderr) == (b"", b".")
    assert (told.stdout, told.stderr) == (b"started", b".")
