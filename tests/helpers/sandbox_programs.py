"""What the tests of the sandbox share: a right program with its tests, and running one program."""

from equipoise.config import Sandbox
from equipoise.evaluation.sandbox import run_program

RIGHT = "def add(a, b):\n    return a + b\n"
TESTS = "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'\n"


def passes(program: str, settings: Sandbox, tests: str = TESTS, functions=("add",), prelude: str = "") -> bool:
    """Whether a program passes its tests in the sandbox."""
    return run_program(program, tests, functions, settings, prelude).passed
