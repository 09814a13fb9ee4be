"""No test sleeps for luck: one that waits asks again and again for what it waits for; where time itself is the subject, it says so here."""

import ast

import pytest

from helpers.places import REPOSITORY

TESTS = REPOSITORY / "tests"
TIME_IS_THE_SUBJECT = {
    "helpers/slurm_runs.py restart": "slurmctld saves every few seconds, and nothing tells when",
    "integration/store/test_lease.py test_a_holder_that_misses_some_heartbeats_lives_on": "heartbeats are missed by time passing",
}
"""File and function of a sleep outside a loop -> why nothing can be waited for instead."""


def lucky_sleeps(tree: ast.AST) -> list[str]:
    """Functions that sleep outside a `while` loop; what loops asks again for what it waits for."""
    found: list[str] = []

    def walk(node: ast.AST, function: str, loops: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, loops = node.name, False
        elif isinstance(node, ast.While):
            loops = True
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "sleep" and not loops:
            found.append(function)
        for child in ast.iter_child_nodes(node):
            walk(child, function, loops)

    walk(tree, "", False)
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f():\n    time.sleep(1)", ["f"]),
        ("def f():\n    for _ in range(9):\n        sleep(0.1)", ["f"]),
        ("def f():\n    while not done():\n        time.sleep(0.1)", []),
        ("while True:\n    def f():\n        time.sleep(1)", ["f"]),
        ("async def f():\n    await asyncio.sleep(1)", ["f"]),
    ],
)
def test_sleeps_outside_loops_are_seen(text, found):
    assert lucky_sleeps(ast.parse(text)) == found


def test_no_test_sleeps_for_luck():
    places = {
        f"{path.relative_to(TESTS)} {function}"
        for path in sorted(TESTS.rglob("*.py"))
        for function in lucky_sleeps(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert places == set(TIME_IS_THE_SUBJECT)
