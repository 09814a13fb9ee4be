"""Every canonical solution of HumanEval and of MBPP's verified problems passes its own tests in the sandbox."""

import json
import os
import subprocess
import sys

import pytest

from helpers.loopback import serving
from helpers.places import REPOSITORY

pytestmark = [pytest.mark.hub, pytest.mark.slow]
SOLUTIONS = REPOSITORY / "tests/helpers/canonical_solutions.py"


@pytest.mark.parametrize(("benchmark", "problems"), [("human_eval", 164), ("mbpp", 399)])
def test_every_canonical_solution_passes(benchmark, problems, shared_hub, sandbox_modes, tmp_path):
    modes = sorted(sandbox_modes & {"bubblewrap", "namespaces"}) or sorted(sandbox_modes)
    if not modes:
        pytest.skip("this machine cannot confine a process")
    with serving(shared_hub) as (address, _):
        done = subprocess.run(
            [sys.executable, str(SOLUTIONS), benchmark, *modes],
            env={**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {mode: {"solved": problems, "failed": []} for mode in modes}
