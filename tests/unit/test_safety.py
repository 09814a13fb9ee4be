"""Nothing of the program unpickles, or runs code that came with a model or a data set."""

import ast

import pytest

from helpers.places import REPOSITORY

MODULES = sorted((REPOSITORY / "workflow" / "equipoise").rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
HARMLESS = {"UnpicklingError", "PicklingError", "PickleError"}
NEEDED = {"allow_pickle": False, "weights_only": True, "trust_remote_code": False}
"""Arguments that decide whether code is run, and the one value they may have."""
LOADERS = {("torch", "load"): "weights_only", ("np", "load"): "allow_pickle", ("np", "save"): "allow_pickle"}
"""Functions that must be given theirs, since their default has been another, or is."""


def unsafe(tree: ast.AST) -> list[str]:
    """What of a module could run foreign code: line and reason."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: import {alias.name}" for alias in node.names if alias.name.partition(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNPICKLERS:
            found += [f"{node.lineno}: from {node.module} import {alias.name}" for alias in node.names if alias.name not in HARMLESS]
        elif isinstance(node, ast.Call):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            for name, only in NEEDED.items():
                if name in given and not (isinstance(given[name], ast.Constant) and given[name].value is only):
                    found.append(f"{node.lineno}: {name} is not {only}")
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                called = node.func.value.id, node.func.attr
                if called in LOADERS and LOADERS[called] not in given:
                    found.append(f"{node.lineno}: {'.'.join(called)} without {LOADERS[called]}")
                if called in {("yaml", "unsafe_load"), ("yaml", "full_load"), ("pd", "read_pickle")}:
                    found.append(f"{node.lineno}: {'.'.join(called)}")
                if called == ("yaml", "load") and not any("Loader" in ast.unparse(argument) for argument in node.args[1:]):
                    found.append(f"{node.lineno}: yaml.load without a loader of ours")
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(f"{node.lineno}: {node.func.id}")
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=flag)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "yaml.load(text)",
        "eval(text)",
    ],
)
def test_each_way_is_seen(line):
    assert unsafe(ast.parse(line))


def test_no_module_of_the_package_unpickles_or_runs_foreign_code():
    confined = REPOSITORY / "workflow/equipoise/evaluation/confined"  # model-written programs, inside the sandbox
    found = {str(path): unsafe(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES if confined not in path.parents}
    assert {path: reasons for path, reasons in found.items() if reasons} == {}
