"""Programs that a language model wrote: right ones pass, wrong ones fail with the reason, and their values reach the tests."""

import resource
import threading

import pytest

from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation import sandbox
from equipoise.evaluation.sandbox import check_sandbox, run_program
from helpers.sandbox_programs import RIGHT, TESTS, passes


def test_right_passes_and_wrong_fails_with_the_reason(confined):
    assert passes(RIGHT, confined)
    verdict = run_program("def add(a, b):\n    return a - b\n", TESTS, ["add"], confined)
    assert (verdict.passed, verdict.reason) == (False, "AssertionError: ")
    assert "ZeroDivisionError" in run_program("def add(a, b):\n    return 1 / 0\n", TESTS, ["add"], confined).reason
    assert "SyntaxError" in run_program("def add(:\n", TESTS, ["add"], confined).reason
    assert "KeyError" in run_program("x = 1\n", TESTS, ["add"], confined).reason


def test_plain_values_cross_both_ways(confined):
    program = "def echo(*values, **named):\n    return values, named\n"
    tests = """
values = (1, -2**70, 1.5, True, None, "t\\u2028\\n", [1, (2, {3})], {"a": [1], (1, 2): frozenset([3])}, 2j, b"x", range(3))
assert echo(*values, named=[1]) == (values, {"named": [1]})
assert type(echo(True)[0][0]) is bool
"""
    verdict = run_program(program, tests, ["echo"], confined)
    assert verdict.passed, verdict.reason


def test_iterators_and_views_keep_their_nature(confined):
    program = "def f(kind):\n    return {'map': map(str, [1, 2]), 'keys': {1: 2}.keys(), 'range': range(2)}[kind]\n"
    assert passes(program, confined, "assert list(f('map')) == ['1', '2']\nassert f('keys') == {1}\nassert f('range') == range(2)", ["f"])
    assert not passes(program, confined, "assert f('map') == ['1', '2']", ["f"])


def test_other_objects_are_true_or_not_and_equal_nothing(confined):
    program = "import re\ndef f(text):\n    return re.search('a+', text)\n"
    assert passes(program, confined, "assert f('baa')\nassert not f('b')\nassert f('a') != 'a'", ["f"])
    assert not passes(program, confined, "assert f('a') == 'a'", ["f"])


def test_expected_exceptions_reach_the_tests(confined):
    tests = "try:\n    f()\nexcept ValueError as error:\n    assert 'no' in str(error)\nelse:\n    assert False\n"
    assert passes("def f():\n    raise ValueError('no')\n", confined, tests, ["f"])
    assert not passes("def f():\n    return 1\n", confined, tests, ["f"])


def test_helpers_of_the_prelude_are_the_benchmarks_not_the_programs(confined):
    tests = "assert f(double(2)) == 4"
    assert passes("def f(x):\n    return x\n", confined, tests, ["f"], "def double(x):\n    return 2 * x\n")
    assert not passes(
        "def f(x):\n    return x\ndef double(x):\n    return 4\n", confined, tests, ["f"], "def double(x):\n    return 3 * x\n"
    )


def test_the_limit_is_processor_time_so_that_a_busy_machine_fails_no_right_program(confined, monkeypatch):
    waits = "import time\ndef add(a, b):\n    time.sleep(1.5)\n    return a + b\n"
    assert passes(waits, confined), "3 seconds on the clock, next to none of its 2 of the processor"
    monkeypatch.setattr(sandbox, "CLOCK", 30)  # however busy this machine is
    used = computed()
    verdict = run_program("while True:\n    pass\n", TESTS, ["add"], confined)
    assert (verdict.passed, "used up its processor time" in verdict.reason) == (False, True)
    assert confined.seconds <= computed() - used < confined.seconds + 3


def computed() -> float:
    """Seconds of processor time that this process's children have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_many_threads_can_run_programs_at_once(confined):
    outcomes = {}

    def one(number):
        outcomes[number] = passes(f"def add(a, b):\n    return a + b + {number}\n", confined, "assert add(1, 1) == 5", ["add"])

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
    monkeypatch.setattr(sandbox.seccomp, "MACHINES", ("vax",))
    for mode in ("namespaces", "process"):
        with pytest.raises(UserError, match=r"no filter of system calls for \w+; evaluate programs on vax"):
            check_sandbox(Sandbox(mode=mode))
