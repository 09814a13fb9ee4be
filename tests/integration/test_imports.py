"""What a command loads: nothing heavy before it is needed."""

import subprocess
import sys

import numpy as np

from helpers.places import REPOSITORY

EXPERIMENTS = sorted((REPOSITORY / "workflow" / "experiments").glob("*.yaml"))


def loaded(script: str, modules: set[str], *arguments: str) -> set[str]:
    """Which of `modules` a Python of its own has loaded at the end of `script`."""
    ending = f"\nprint(' '.join({modules!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"import sys\n{script}{ending}", *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_a_configuration_is_checked_without_the_heavy_libraries():
    heavy = {"torch", "transformers", "lm_eval", "datasets", "pandas", "pyarrow", "zarr"}
    script = "from equipoise.config_file import read_config\nfor path in sys.argv[1:]: read_config(path)"
    assert not loaded(script, heavy, *map(str, [REPOSITORY / "config.yaml", *EXPERIMENTS]))


def test_the_catalogue_of_results_loads_without_numpy():
    assert not loaded("import equipoise.reporting.catalogue", {"numpy", "pandas", "matplotlib"})


def test_the_report_loads_neither_torch_nor_transformers():
    assert not loaded("import equipoise.reporting.report", {"torch", "transformers", "lm_eval"})


def test_selecting_loads_no_torch_and_help_loads_no_numpy(tmp_path):
    np.save(tmp_path / "m.npy", np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32))
    (tmp_path / "tasks.json").write_text('["gsm", "code"]')
    heavy = {"torch", "transformers", "numpy", "numba", "pandas", "zarr", "pyarrow"}
    script = "from equipoise.cli import app\ntry: app(sys.argv[1:])\nexcept SystemExit as end: assert not end.code"
    assert not loaded(script, heavy, "select", "--help")
    files = [str(tmp_path / name) for name in ("m.npy", "tasks.json", "o.jsonl")]
    assert loaded(script, heavy, "select", files[0], "--tasks", files[1], "--output", files[2]) == {"numpy"}
