"""Mutants of the package's modules: small changes of its code, each of which some test should notice. A seeded sample of them.

The changes are mutmut's operators. Its own runner is not used: it leaves decorated functions alone, among them all compiled loops, whose
trampolines numba could not compile.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

from helpers.places import REPOSITORY

SOURCE = REPOSITORY / "workflow"
PACKAGES = ("attribution", "gradients", "selection", "store")
ON_GPU = "_jit"
"""The decorator of functions that only a GPU runs; `make gpu-check` tests these."""
WORDING = {"UserError", "log", "track"}
"""Calls whose texts are read by people: another wording is no fault."""


@dataclass(frozen=True)
class Mutant:
    """One change of one module; `name` tells it from all others as long as its function stays as it is."""

    name: str
    module: str
    function: str
    line: int
    before: str
    after: str
    source: str
    """The whole module, changed."""


class _Finder(cst.CSTVisitor):
    """Collects (function, node, changed node, line) of everything that runs on a CPU and is not wording or a type."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[str, cst.CSTNode, cst.CSTNode, int]] = []
        self.within: list[str] = []
        self.wordings = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        self.within += _name_of(node)
        self.wordings += _is_wording(node)
        if _is_left_out(node):
            return False
        if not (self.wordings and (_is_text(node) or _is_wording(node))):
            self._change(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        del self.within[len(self.within) - len(_name_of(original_node)) :]
        self.wordings -= _is_wording(original_node)

    def _change(self, node: cst.CSTNode) -> None:
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                line = self.get_metadata(PositionProvider, node).start.line
                self.found += [(".".join(self.within), node, changed, line) for changed in operator(node)]


def _name_of(node: cst.CSTNode) -> list[str]:
    """The name of a function or class, as a list of one."""
    return [node.name.value] if isinstance(node, cst.FunctionDef | cst.ClassDef) else []


def _is_left_out(node: cst.CSTNode) -> bool:
    """Whether nothing of a node is changed: a type, an import, a decorator, a docstring, a function that needs a GPU."""
    if isinstance(node, cst.SimpleStatementLine):
        return isinstance(node.body[0], cst.Expr) and _is_text(node.body[0].value)
    if isinstance(node, cst.FunctionDef):
        return any(_called(decorator.decorator) == ON_GPU for decorator in node.decorators)
    return isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom)


def _called(node: cst.CSTNode) -> str:
    """The last name of what a call calls, and of what a decorator is."""
    node = node.func if isinstance(node, cst.Call) else node
    return node.attr.value if isinstance(node, cst.Attribute) else getattr(node, "value", "")


def _is_text(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleString | cst.ConcatenatedString | cst.FormattedString)


def _is_wording(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Raise) or (isinstance(node, cst.Call) and _called(node) in WORDING)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines."""
    module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    wrapper, finder = MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8"))), _Finder()
    wrapper.visit(finder)
    tree = wrapper.module
    twins: dict[str, int] = {}
    for function, node, changed, line in finder.found:
        before, after = tree.code_for_node(node).strip(), tree.code_for_node(changed).strip()
        place = _digest(module, function, tree.code_for_node(node), after)
        twins[place] = twins.get(place, 0) + 1
        name = _digest(place, str(twins[place]))[:12]
        yield Mutant(name, module, function, line, before, after, _Later(tree, node, changed))


class _Later:
    """The changed module's text, made when it is asked for: few of all mutants are drawn."""

    def __init__(self, tree: cst.Module, node: cst.CSTNode, changed: cst.CSTNode):
        self.parts = tree, node, changed

    def __str__(self) -> str:
        tree, node, changed = self.parts
        return tree.deep_replace(node, changed).code


def draw(count: int, seed: int, packages: tuple[str, ...] = PACKAGES) -> list[Mutant]:
    """`count` mutants: of every module two, the rest in proportion to how many it has; within a module by a hash of name and seed,
    so that a change of one module leaves the draws of the others nearly as they were."""
    every = {path: list(mutants_of(path)) for package in packages for path in sorted((SOURCE / "equipoise" / package).glob("*.py"))}
    every = {path: sorted(mutants, key=lambda mutant: _digest(str(seed), mutant.name)) for path, mutants in every.items() if mutants}
    total = sum(map(len, every.values()))
    share = {path: min(2, len(mutants)) for path, mutants in every.items()}
    left = count - sum(share.values())
    ideal = {path: left * len(mutants) / total for path, mutants in every.items()}
    for path in every:
        share[path] += int(ideal[path])
    for path in sorted(every, key=lambda path: (int(ideal[path]) - ideal[path], path))[: count - sum(share.values())]:
        share[path] += 1
    return [mutant for path, mutants in every.items() for mutant in sorted(mutants[: share[path]], key=lambda mutant: mutant.line)]
