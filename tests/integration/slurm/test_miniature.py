"""The embedded experiment, reduced, through a real Slurm to its report."""

import re
import shutil

import pytest
import yaml

from helpers.places import REPOSITORY
from helpers.slurm_runs import SITE, SlurmRun, gpus

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
PACKED = "shards_collect_pool_gradients"
SELECTING = "selections_assemble_attribution_rank_seal_attribution_select_budget"  # a group of the site file
ON_GPU = {"warm_up", PACKED, "collect_target_gradients", "fine_tune_and_evaluate"}


@pytest.fixture
def miniature(cluster, tmp_path):
    """A run of the embedded experiment in a folder of its own: one budget, three selectors, few test items, stand-in GPUs."""
    values = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    values["model"]["device"] = "auto"
    values["budgets"], values["selectors"] = [0.1], ["random", "task_max", "bids"]
    values["selection"]["seeds"] = [0]
    values["warmup"]["epochs"] = values["finetune"]["epochs"] = 1
    values["finetune"] |= {"seeds": [0], "extra": [], "zero_shot": True}
    for suite in values["suites"].values():
        suite["limit"] = 10
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    on_two = SITE["set-resources"] | {"collect_pool_gradients": SITE["set-resources"]["collect_pool_gradients"] | {"gpu": 2}}
    run = SlurmRun(tmp_path, SITE | {"group-components": {"shards": values["pool"]["shards"]}, "set-resources": on_two})
    yield run
    run.stop()
    shutil.rmtree(tmp_path / "results", ignore_errors=True)


def test_the_miniature_runs_to_its_report_on_slurm(miniature):
    miniature.start()
    miniature.finish(2400)
    (page,) = miniature.folder.glob("results/*/report/index.html")
    assert "bids" in page.read_text(encoding="utf-8").lower()
    jobs = [(job["rule"], gpus(job["AllocTRES"])) for job in miniature.submitted()]
    assert {rule for rule, asked in jobs if asked} == ON_GPU
    packed = [asked for rule, asked in jobs if rule == PACKED]
    assert packed == [2], "all shards were to share one submission, on two GPUs as each of them asks"
    assert all(asked == 1 for rule, asked in jobs if asked and rule != PACKED)
    assert {"prepare_pool", "prepare_targets", SELECTING, "report"} <= {rule for rule, asked in jobs if not asked}
    assert list((miniature.folder / "logs" / "slurm").glob("efficiency_report_*.csv"))
    counted = stages(miniature.status())
    assert {"warm_up", "collect_pool_gradients", "report"} <= {name for name, *_ in counted}
    assert all((done, state) == (of, "done") for _, done, of, state in counted)


def stages(status: str) -> list[tuple[str, str, str, str]]:
    """Name, items done, items and state of every stage in the table of a status."""
    return re.findall(r"^│ (\w+) +│ +(\d+) │ +(\d+) │ (.+?) +│", status, re.M)
