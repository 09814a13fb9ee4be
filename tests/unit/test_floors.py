"""Imports run downward: every module of the package stands on a floor, and no floor leans on one above it."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.places import REPOSITORY

PACKAGE = REPOSITORY / "workflow" / "equipoise"

FLOORS = (
    (
        "errors",
        "progress",
        "seeds",
        "selectors",
        "estimators",
        "benchmarks",
        "measures",
        "programs",
        "budgets",
        "compiled",
        "files",
        "inputs",
        "hub",
        "shipped",
        "extras",
    ),
    ("conversation",),
    (
        *(
            "config",
            "config_gradients",
            "config_model",
            "config_keys",
            "config_checks",
            "config_task_checks",
            "config_file",
            "config_comments",
            "config_reference",
            "config_validation",
            "layout",
            "determinants",
        ),
        *("collecting", "comparison", "experiment", "jobs", "process"),
    ),
    ("store",),
    ("modelling",),
    (
        *("data", "harness", "training", "gradients", "curvature", "attribution", "selection", "evaluation", "validation"),
        *("planning", "cluster", "checking"),
    ),
    ("reporting", "miniature"),
    ("study",),
    ("commands", "cli", "__main__"),
)
"""From the ground up, as in the design; rooms and modules of the package by name."""

EXEMPT: dict[tuple[str, str], str] = {}
"""(importing module, imported module) -> why it may stay for now."""


class Import(NamedTuple):
    """A statement that imports `target` into `source`; modules are named below the package, `where` is file:line."""

    source: str
    target: str
    where: str


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    return module.split(".")[0]


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, those inside functions included, but for what is imported for type checkers alone."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            yield node
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def imports(path: Path, modules: set[str]) -> Iterator[Import]:
    """Imports of the package's own modules; `from equipoise.room import name` is one of the module `name` where there is one."""
    for node in _at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name of the module"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, below = name.partition(".")
            if top == "equipoise" and below:
                target = below if below in modules else below.rpartition(".")[0]
                yield Import(module_name(path), target, f"{path.relative_to(REPOSITORY)}:{node.lineno}")


@pytest.fixture(scope="module")
def every() -> list[Import]:
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
    modules = set(map(module_name, paths))
    return [one for path in paths for one in imports(path, modules) if one.target]


@pytest.fixture
def found(every) -> list[Import]:
    return [one for one in every if (one.source, one.target) not in EXEMPT]


def cycle(edges: set[tuple[str, str]]) -> list[str]:
    """Names along a cycle, or nothing where there is none."""
    after: dict[str, set[str]] = {}
    for start, end in edges:
        after.setdefault(start, set()).add(end)
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            for following in sorted(after.get(name, ())):
                if circle := walk(following, [*trail, name]):
                    return circle
            done.add(name)
        return []

    return next((circle for name in sorted(after) if (circle := walk(name, []))), [])


def described(circle: list[str], edges: dict[tuple[str, str], str]) -> str:
    steps = pairwise(circle)
    return "\n".join(f"{edges[step]}: {step[0]} imports {step[1]}" for step in steps)


def test_every_module_stands_on_one_floor():
    stated = [name for floor in FLOORS for name in floor]
    assert len(stated) == len(set(stated))
    rooms = {room(module_name(path)) for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}
    assert sorted(rooms - set(stated)) == [], "name them in FLOORS"


def test_no_module_imports_one_of_a_floor_above_its_own(found):
    height = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    upward = [f"{one.where}: {one.source} imports {one.target}" for one in found if height[room(one.target)] > height[room(one.source)]]
    assert not upward, "\n".join(upward)


def test_rooms_do_not_import_each_other_in_a_circle(found):
    edges = {(room(one.source), room(one.target)): one.where for one in found if room(one.source) != room(one.target)}
    assert not (circle := cycle(set(edges))), described(circle, edges)


def test_modules_do_not_import_each_other_in_a_circle(found):
    edges = {(one.source, one.target): one.where for one in found}
    assert not (circle := cycle(set(edges))), described(circle, edges)


def test_a_circle_is_found_and_a_diamond_is_none():
    assert cycle({("a", "b"), ("b", "c"), ("c", "b")}) == ["b", "c", "b"]
    assert cycle({("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}) == []


def test_lazy_imports_count_and_those_for_type_checkers_do_not(tmp_path, monkeypatch):
    path = tmp_path / "reader.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from equipoise.cli import main\n"
        "def read():\n    from equipoise.store import manifest\n    from equipoise.files import file_digest\n    import equipoise.config\n"
    )
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    listed = imports(path, {"cli", "store", "store.manifest", "files", "config"})
    assert list(listed) == [
        Import("reader", "store.manifest", "reader.py:5"),
        Import("reader", "files", "reader.py:6"),
        Import("reader", "config", "reader.py:7"),
    ]


def test_exemptions_are_still_needed(every):
    assert set(EXEMPT) <= {(one.source, one.target) for one in every}
