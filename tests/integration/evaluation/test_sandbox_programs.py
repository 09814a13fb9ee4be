"""Programs that a language model wrote: right ones pass, wrong ones fail with the reason, and their values reach the tests."""

import os
import re
import resource
import sys
import threading

import pytest

from conftest import usable_mode
from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation import containers, sandbox
from equipoise.evaluation.sandbox import check_sandbox, run_program
from helpers.places import REPOSITORY
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
    confined = confined.model_copy(update={"seconds": 1})
    waits = "import time\ndef add(a, b):\n    time.sleep(0.7)\n    return a + b\n"
    assert passes(waits, confined), "1.4 seconds on the clock, next to none of its second of the processor"
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


def test_answers_that_are_wrong_are_no_pass_and_only_assertions_about_answers_count(confined):
    assert passes(RIGHT, confined, "assert True\nassert add(1, 2) == 3, 'sum'\n")
    for tests in (
        "add(1, 2)\n",
        "assert True\nadd(1, 2)\n",
        "assert 1 + 1 == 2\nadd(1, 2)\n",
        "for each in ():\n    assert add(1, 2) == 3\n",
    ):
        verdict = run_program(RIGHT, tests, ["add"], confined)
        assert (verdict.passed, verdict.reason) == (False, "no assertion about the program's answers ran")


def test_programs_may_print_and_read_nothing(confined):
    program = """
import sys
def add(a, b):
    print('x' * 10**5, flush=True)
    sys.stdout.buffer.write(b'\\xff')
    sys.stderr.write('\\udcff')
    try:
        input()
    except EOFError:
        return a + b + len(sys.stdin.read())
"""
    verdict = run_program(program, TESTS.splitlines()[0], ["add"], confined)
    assert verdict.passed, verdict.reason


def test_off_and_machines_that_cannot_confine_are_refused_in_one_line(monkeypatch):
    def refusal(mode):
        sandbox.confining.cache_clear()
        with pytest.raises(UserError) as caught:
            run_program(RIGHT, TESTS, ["add"], Sandbox(mode=mode))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def starts(said):
        line = f"import sys; sys.stderr.write({said!r}); sys.exit(70)"
        monkeypatch.setattr(sandbox, "start_command", lambda *_: [sys.executable, "-I", "-S", "-c", line])

    assert refusal("off").endswith("read the warning in config.yaml, then write sandbox: {mode: auto}")
    starts("unshare: Operation\nnot permitted")
    said = "sandbox.mode: namespaces cannot confine programs here (namespaces: unshare: Operation not permitted); "
    assert refusal("namespaces") == said + "evaluate them on another machine, or write sandbox: {mode: process}"
    assert refusal("process").endswith("(process: unshare: Operation not permitted); evaluate them on another machine")
    monkeypatch.setattr(containers, "found", missing)
    assert refusal("podman").endswith("(podman: podman is not installed); evaluate them on another machine, or write sandbox: {mode: auto}")
    both = (
        "sandbox.mode: auto cannot confine programs here (bubblewrap: bwrap is not installed; namespaces: unshare: Operation not permitted)"
    )
    assert refusal("auto").startswith(both)
    monkeypatch.setattr(sandbox.seccomp, "MACHINES", ("vax",))
    assert re.search(r"no filter of system calls for \w+; evaluate programs on vax", refusal("process"))
    sandbox.confining.cache_clear()


def missing(program):
    raise FileNotFoundError(f"{program} is not installed")


def test_auto_takes_bubblewrap_then_namespaces(monkeypatch, sandbox_modes):
    if not {"bubblewrap", "namespaces"} <= sandbox_modes:
        pytest.skip("bubblewrap or namespaces do not work here")
    sandbox.confining.cache_clear()
    within = check_sandbox(Sandbox(mode="auto"))
    assert within["mode"] == "bubblewrap"
    assert re.fullmatch(r"bubblewrap [\d.]+", within["version"])
    sandbox.confining.cache_clear()
    containers._said_by.cache_clear()
    monkeypatch.setattr(containers, "found", missing)
    assert check_sandbox(Sandbox(mode="auto")) == {"mode": "namespaces", "version": f"Linux {os.uname().release}"}
    sandbox.confining.cache_clear()


LOOKING = "import os\ndef add(a, b):\n    return None if os.path.exists('BAIT') or not os.getuid() else a + b\n"


@pytest.mark.parametrize("named", ["podman", "runsc"])
def test_containers_confine_by_their_name(named):
    settings = Sandbox(mode=usable_mode(named), seconds=1)
    assert passes(RIGHT, settings)
    assert not passes("def add(a, b):\n    return a - b\n", settings)
    assert passes(LOOKING.replace("BAIT", str(REPOSITORY / "docs")), settings)
    assert not passes(LOOKING.replace("BAIT", "/usr"), settings)
    assert not passes("import time\ndef add(a, b):\n    time.sleep(1000)\n", settings)
    assert check_sandbox(settings)["version"].startswith(f"{named} version")
