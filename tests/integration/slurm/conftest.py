"""A Slurm to run on, and an experiment that is ready for its gradient jobs."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from helpers import warm
from helpers.experiment import changed, tiny_values
from helpers.places import REPOSITORY
from helpers.rows import texts, write_jsonl
from helpers.slurm_runs import OWN_NODE, SITE, SlurmRun

CONFIGURATION = Path("/etc/slurm/slurm.conf")


@pytest.fixture(scope="session")
def cluster() -> None:
    """A Slurm that answers; skips without one."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm answers; `tests/integration/slurm/single_node.sh up` starts one")


@pytest.fixture(scope="session")
def own_node(cluster) -> None:
    """A node that may be stopped and drained: the one of single_node.sh, nobody's real cluster."""
    if not CONFIGURATION.is_file() or OWN_NODE not in CONFIGURATION.read_text():
        pytest.skip("drills stop daemons and drain nodes: only on the Slurm that tests/integration/slurm/single_node.sh started")


@pytest.fixture(scope="session")
def undisturbed(tiny_base, tmp_path_factory) -> Path:
    """Folder of an experiment of 4 shards of 3 chunks, run without a cluster and without trouble to its selections."""
    folder = tmp_path_factory.mktemp("undisturbed")
    own = {
        "experiment": "drill",
        "results": "results",
        "budgets": [0.05, 0.1],
        "selectors": ["bids"],
        "model": {"max_length": 16, "device": "auto"},
        "pool": {"files": [write_jsonl(folder / "many.jsonl", texts(12 * 1024 - 100))], "shards": 4},
        "training": {"batch_size": 128, "micro_batch_size": 128, "schedule": "cosine"},
        "warmup": {"fraction": 0.1},
        "gradients": {"token_budget": 1024, "projection": {"dimension": 256}},
        "finetune": {"epochs": 4},
        "jobs": {"epochs": "together", "tasks": "together", "runs": "together", "assembly": 4},
    }
    values = changed(tiny_values(folder, tiny_base), own)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(values))
    command = [warm.SNAKEMAKE.start(), "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "experiment.yaml"]
    done = subprocess.run(
        [*command, "--cores", "2", "selections", "--config", f"python={warm.STAGES.start()}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


@pytest.fixture
def drill(own_node, undisturbed, tmp_path):
    """Makes runs that are still to collect pool gradients, and all that follows from them; stops what they leave running."""
    runs = []

    def make(resources: dict[str, str] | None = None, **site: object) -> SlurmRun:
        folder = tmp_path / "drill"
        shutil.copytree(undisturbed, folder)
        for results in ("gradients/pool", "attribution", "ranking", "selection"):
            shutil.rmtree(folder / "results" / "drill" / "tiny" / results)
        collecting = SITE["set-resources"]["collect_pool_gradients"] | (resources or {})
        site = SITE | {"set-resources": SITE["set-resources"] | {"collect_pool_gradients": collecting}} | site
        runs.append(SlurmRun(folder, site))
        return runs[-1]

    yield make
    for run in runs:
        run.stop()
