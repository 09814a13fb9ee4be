"""The wheel holds the whole program: built as a release is, installed apart from the repository, used in an empty folder."""

import ast
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import numpy as np
import pytest

from equipoise.attribution.seal import attribute
from equipoise.selection.rank import rank
from equipoise.selection.select_budget import select_budget
from helpers.attribution_experiment import prepare
from helpers.places import REPOSITORY

PROGRAM = ("Snakefile", "config.yaml", "envs", "profiles", "workflow/experiments", "workflow/report", "workflow/rules", "workflow/schemas")
PACKAGES = ("equipoise", "snakemake_logger_plugin_equipoise")
LIBRARIES = sysconfig.get_path("purelib")
BROUGHT = {"lm_eval": "lm-eval", "yaml": "pyyaml", "pydantic_core": "pydantic", "sklearn": "scikit-learn"}
"""Modules by the package that a requirement names, where their names differ or the package brings both."""


def requirement(line: str) -> tuple[str, str]:
    """Package and extra ("" for none) of a line of the distribution's requirements, as names compare."""
    package = re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
    extra = re.search(r"""extra == ['"](\w+)""", line)
    return package, extra[1] if extra else ""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the source distribution, as `python -m build` does, from a copy with a site file of one's own in it."""
    tree, out = tmp_path_factory.mktemp("tree") / "equipoise", tmp_path_factory.mktemp("dist")
    tree.mkdir()
    for top in ("Snakefile", "config.yaml", "envs", "profiles", "workflow", "pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        copy = shutil.copytree if (REPOSITORY / top).is_dir() else shutil.copy
        copy(REPOSITORY / top, tree / top)
    (tree / "profiles/slurm/site.yaml").write_text("slurm_account: secret\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree], check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel):
    """Makes a virtual environment with the wheel and the installed libraries of some extras; says where its `equipoise` is."""

    def make(*extras: str) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        venv.create(folder)
        packages = next(folder.glob("lib/*/site-packages"))
        install = ["install", "--quiet", "--no-deps", "--no-index", wheel]
        subprocess.run([sys.executable, "-m", "pip", "--python", folder / "bin/python", *install], check=True)
        if extras == ("all",):
            (packages / "libraries.pth").write_text(LIBRARIES, encoding="utf-8")
        else:
            for name in needed(requires("equipoise"), extras):
                link(name, packages)
        return folder / "bin/equipoise"

    return make


def needed(lines, extras):
    """Installed packages that a list of requirements comes down to."""
    waiting = [package for package, extra in map(requirement, lines) if not extra or extra in extras]
    found = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            try:
                lines = distribution(name).requires or []
            except ImportError:
                continue  # of another Python or system
            found.add(name)
            waiting.extend(package for package, extra in map(requirement, lines) if not extra)
    return sorted(found)


def link(name, packages):
    """Puts an installed package into another environment."""
    tops = {Path(file).parts[0] for file in distribution(name).files or [] if not str(file).startswith("..")}
    for top in tops - {"__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(LIBRARIES) / top)


def said(command, folder):
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)


def test_the_wheel_holds_every_file_of_the_program_and_no_site_file(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = [path for top in PROGRAM for path in ([REPOSITORY / top] if (REPOSITORY / top).is_file() else (REPOSITORY / top).rglob("*"))]
    program = {f"equipoise/program/{path.relative_to(REPOSITORY)}" for path in tracked if path.is_file() and path.name != "site.yaml"}
    modules = {
        str(path.relative_to(REPOSITORY / "workflow"))
        for package in PACKAGES
        for path in (REPOSITORY / "workflow" / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == program | modules


def test_an_installed_wheel_runs_the_experiments_it_ships_from_an_empty_folder(environment, tmp_path):
    equipoise = environment("all")
    dry = said([equipoise, "run", "--profile", "local", "--cores", "1", "-n"], tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "generate_miniature" in dry.stdout + dry.stderr
    planned = said([equipoise, "plan", "workflow/experiments/llama3-8b.yaml"], tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "collect_pool_gradients" in planned.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {".snakemake"}


@pytest.fixture(scope="module")
def plain(environment):
    """`equipoise` installed without extras."""
    return environment()


def test_without_extras_one_selects_and_exports_and_is_told_what_more_needs(plain, tmp_path):
    equipoise = plain
    np.save(tmp_path / "matrix.npy", np.random.default_rng(0).normal(size=(40, 4)).astype("f4"))
    (tmp_path / "tasks.json").write_text(json.dumps(["a", "a", "b", "b"]), encoding="utf-8")
    rows = [json.dumps({"prompt": f"q {i}", "response": f"a {i}"}) for i in range(40)]
    (tmp_path / "pool.jsonl").write_text("\n".join(rows), encoding="utf-8")
    chosen = said([equipoise, "select", "matrix.npy", "--tasks", "tasks.json", "--budget", "0.1", "--output", "picks.jsonl"], tmp_path)
    assert chosen.returncode == 0, chosen.stderr
    written = said([equipoise, "export", "picks.jsonl", "--pool", "pool.jsonl", "--output", "chosen.jsonl"], tmp_path)
    assert written.returncode == 0, written.stderr
    assert len((tmp_path / "chosen.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    told = said([equipoise, "run", "--cores", "1"], tmp_path)
    assert (told.returncode, told.stderr) == (2, "error: snakemake is not installed; write  pip install 'equipoise[pipeline,report]'\n")


def test_without_extras_a_selection_of_the_workflow_is_explained(plain, tmp_path):
    prepared = prepare(tmp_path / "experiment", rows=1100)
    attribute(prepared.config, ["influence"])
    rank(prepared.config, "bids", 0)
    select_budget(prepared.config, "bids", 0, "0.05")
    selection = prepared.layout.selection("bids", 0, "0.05")
    pick = json.loads(Path(selection).read_text(encoding="utf-8").splitlines()[3])
    told = said([plain, "explain", selection, "--row", pick["id"]], tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"{pick['id']} (row {pick['row']}, source s): rank 3\n")
    assert f"asked for by {pick['validation_id']} (column {pick['column']}) of task {pick['task']}" in told.stdout
    assert "VALIDATION EXAMPLE" in told.stdout


def test_without_extras_init_names_the_extra_in_one_line(plain, tmp_path, tiny_base):
    rows = [json.dumps({"prompt": f"q {i}", "response": f"a {i}"}) + "\n" for i in range(40)]
    for name in ("pool.jsonl", "sums.jsonl"):
        (tmp_path / name).write_text("".join(rows), encoding="utf-8")
    told = said([plain, "init", "pool.jsonl", "--task", "sums=sums.jsonl", "--base", tiny_base], tmp_path)
    assert told.returncode == 2, told.stderr
    assert re.fullmatch(r"error: \w+ is not installed; write  pip install 'equipoise\[pipeline,report\]'\n", told.stderr)
    assert not (tmp_path / "my.yaml").exists()


def test_every_library_that_the_package_imports_is_declared():
    declared = {package for package, _ in map(requirement, requires("equipoise"))}
    optional = {"vllm"}
    for path in (REPOSITORY / "workflow/equipoise").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for top in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"equipoise"} - optional:
                assert BROUGHT.get(top, top.replace("_", "-")) in declared, f"{path}: {top}"
