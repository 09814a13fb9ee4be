"""The embedded experiment, reduced, through a real Slurm to its report."""

import re
import shutil

import pytest
import yaml
from slurm_fixtures import SITE, cluster  # noqa: F401
from slurm_runs import SlurmRun, slurm

from conftest import REPOSITORY

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
ON_GPU = {"warm_up", "shards_collect_pool_gradients", "collect_target_gradients", "fine_tune_and_evaluate"}


@pytest.fixture
def miniature(cluster, tmp_path):  # noqa: F811
    """A run of the embedded experiment in a folder of its own: one budget, three selectors, few test items, stand-in GPUs."""
    values = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    values["model"] |= {"base": str(REPOSITORY / values["model"]["base"]), "device": "auto"}
    values["budgets"], values["selectors"] = [0.1], ["random", "task_max", "bids"]
    values["selection"]["seeds"] = [0]
    values["warmup"]["epochs"] = values["finetune"]["epochs"] = 1
    values["finetune"] |= {"seeds": [0], "extra": [], "zero_shot": True}
    for suite in values["suites"].values():
        suite["limit"] = 10
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    run = SlurmRun(tmp_path, SITE | {"group-components": {"shards": values["pool"]["shards"]}})
    yield run
    run.stop()
    shutil.rmtree(tmp_path / "results", ignore_errors=True)


def test_the_miniature_runs_to_its_report_on_slurm(miniature):
    miniature.start()
    miniature.finish(1200)
    (page,) = miniature.folder.glob("results/*/report/index.html")
    assert "bids" in page.read_text(encoding="utf-8").lower()
    jobs = submitted(miniature)
    assert {rule for rule, gpus in jobs if gpus} == ON_GPU
    assert all(gpus == 1 for _, gpus in jobs if gpus)
    assert {"prepare_pool", "assemble_attribution", "seal_attribution", "rank", "select_budget", "report"} <= {r for r, g in jobs if not g}
    assert sum(rule == "shards_collect_pool_gradients" for rule, _ in jobs) == 1, "all shards were to share one submission"
    assert list((miniature.folder / "logs" / "slurm").glob("efficiency_report_*.csv"))


def submitted(run: SlurmRun) -> list[tuple[str, int]]:
    """Rule (or group and rule) and number of GPUs of every job of the run, by the accounting."""
    name = re.search(r"SLURM run ID: (\S+)", (run.folder / "run.log").read_text()).group(1)
    lines = slurm(
        "sacct", "--allocations", "--noheader", "--parsable2", "--format=Comment%200,AllocTRES%200", f"--name={name}"
    ).splitlines()
    jobs = []
    for comment, resources in (line.split("|") for line in lines):
        rule = re.sub(r"^rule_|_wildcards_.*$", "", comment)
        gpus = re.search(r"gres/gpu=(\d+)", resources)
        jobs.append((rule, int(gpus.group(1)) if gpus else 0))
    return jobs
