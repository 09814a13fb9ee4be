"""Runs a module of the tests as root and as an ordinary user, which one test run can only do where it is root itself."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from equipoise.evaluation.containers import interpreter
from helpers.places import REPOSITORY

NOBODY = 65534


def run_as(user: str, words: list[str], environment: Mapping[str, str]) -> str:
    """What `python -m WORDS` prints, run by `root` or an `ordinary` user; skips where the test run cannot become that user."""
    if user == "root" and os.getuid() != 0:
        pytest.skip("the tests do not run as root")
    if user == "root" or os.getuid() != 0:
        paths = f"{REPOSITORY / 'workflow'}:{REPOSITORY / 'tests'}"
        return _said([sys.executable, "-m", *words], {**os.environ, **environment, "PYTHONPATH": paths})
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # what an ordinary user may look into, even where Python is root's own
        Path(folder).chmod(0o755)
        shown = {"python": sys.base_prefix, "packages": sysconfig.get_path("purelib"), "repository": str(REPOSITORY)}
        for name in shown:
            Path(folder, name).mkdir()
        paths = ":".join(f"{folder}/{place}" for place in ("repository/workflow", "repository/tests", "packages"))
        variables = {**environment, "PATH": os.environ["PATH"], "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        python = f"{folder}/python/{Path(interpreter()).relative_to(sys.base_prefix)}"
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", python, "-m", *words]
        mounts = [shlex.join(["mount", "--bind", path, f"{folder}/{name}"]) for name, path in shown.items()]
        command = ["unshare", "--mount", "sh", "-ec", "; ".join([*mounts, f"cd {folder}; exec {shlex.join(become)}"])]
        if not (shutil.which("setpriv") and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0):
            pytest.skip("this machine lets root make no mounts of its own")
        return _said(command, variables)


def _said(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]
