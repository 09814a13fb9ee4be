"""The account of an experiment's jobs (jobs.py) is the Snakefile's own, job by job and output by output."""

import re
from collections import Counter

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.jobs import stages
from helpers.places import REPOSITORY
from helpers.rows import write_jsonl
from helpers.workflow_runs import Workflow, evaluated

SMALL = ("realdata-check", "less", "smollm2-135m", "smollm2-135m-cpu")
CUTS = [{}, {"epochs": "together"}, {"tasks": "together"}, {"runs": "together"}, {"assembly": 2}]


def shipped(path: str, tmp_path, **changes) -> Workflow:
    """A shipped experiment in a folder of its own, with the files that it needs and that are not shipped."""
    values = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
    for task in values["tasks"].values():
        if task.get("benchmark") == "ifeval":
            task["files"] = [write_jsonl(tmp_path / "responses.jsonl", [{"prompt": "p", "response": "r"}])]
    if values["pool"].get("files") == ["resources/smollm2-135m-cpu/pool.jsonl"]:
        values["pool"]["files"] = [write_jsonl(tmp_path / "pool.jsonl", [{"prompt": "p", "response": "r"}])]
    if not (tmp_path / "workflow").exists():
        (tmp_path / "workflow").symlink_to(REPOSITORY / "workflow")  # the miniature's base is named from the repository
    for key, value in changes.items():
        values[key] = values.get(key, {}) | value
    return Workflow(tmp_path, values)


def declared_jobs(workflow: Workflow) -> list[tuple[str, tuple[str, ...]]]:
    """(rule, outputs) of every job of a dry run; of the report, whose other files follow from its results, the page and the scores."""
    jobs, rule = [], ""
    for line in workflow.run("-n").splitlines():
        if found := re.match(r"(?:local)?rule (\w+):$", line):
            rule = found[1]
        elif found := re.match(r"    output: (.*)$", line):
            outputs = [path for path in found[1].split(", ") if rule != "report" or path.endswith(("index.html", "scores.csv"))]
            jobs.append((rule, tuple(sorted(outputs))))
    return sorted(jobs)


def planned_jobs(workflow: Workflow) -> list[tuple[str, tuple[str, ...]]]:
    """The same from `jobs.stages`; items of a fold but its last one are no declared outputs."""
    jobs = []
    for stage in stages(parse_config(workflow.values)):
        for job in stage.jobs:
            items = job[-1:] if stage.name == "fine_tune_and_evaluate" else job
            jobs.append((stage.name, tuple(sorted(output for item in items for output in item.outputs))))
    return sorted(jobs)


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_every_cut_into_jobs(tiny_values, tmp_path, cut):
    values = evaluated(tiny_values | {"selectors": ["random", "bids", "rds", "rds_plus", "full"]})
    workflow = Workflow(tmp_path, values | {"pool": values["pool"] | {"shards": 5, "decontaminate": "remove"}, "jobs": cut})
    assert declared_jobs(workflow) == planned_jobs(workflow)


def test_a_job_for_every_warm_up(tiny_values, tmp_path):
    values = evaluated(tiny_values | {"selectors": ["bids", "rds"], "warmup": {"epochs": 3, "seeds": [5, 0, 12]}})
    workflow = Workflow(tmp_path, values | {"gradients": values["gradients"] | {"estimator": "trak", "epochs": "last"}})
    jobs = planned_jobs(workflow)
    assert declared_jobs(workflow) == jobs
    assert [len(outputs) for rule, outputs in jobs if rule == "warm_up"] == [3, 3, 3]
    assert Counter(rule for rule, _ in jobs)["fit_curvature"] == 3


@pytest.mark.parametrize("own", [False, True], ids=["mates", "matrix"])
def test_estimators_that_leave_no_gradients_of_every_row(tiny_values, tmp_path, own):
    settings = {"estimator": "matrix", "matrix": {"file": "scores.npy"}} if own else {"estimator": "mates", "mates": {"share": 0.5}}
    values = evaluated(tiny_values | {"selectors": ["bids", "rds", "kcenter", "ifd"], "jobs": {"assembly": 2}})
    values |= {"pool": values["pool"] | {"shards": 5}, "gradients": values["gradients"] | settings}
    (tmp_path / "scores.npy").touch()
    workflow = Workflow(tmp_path, values)
    jobs = planned_jobs(workflow)
    assert declared_jobs(workflow) == jobs
    counts = Counter(rule for rule, _ in jobs)
    assert (counts["score_pool"], counts["collect_pool_states"], counts["collect_target_states"]) == (10, 5, 2 if own else 0)
    assert (counts["collect_pool_gradients"], counts["fit_influence_model"]) == ((0, 0) if own else (4, 1))


@pytest.mark.parametrize(
    ("settings", "cut"),
    [
        ({"estimator": "ekfac_unit"}, {"epochs": "together"}),
        ({"estimator": "trak", "epochs": "last"}, {}),
        ({"estimator": "trak"}, {"assembly": 2}),
    ],
    ids=str,
)
def test_estimators_that_fit_something_first(tiny_values, tmp_path, settings, cut):
    values = evaluated(tiny_values | {"selectors": ["bids", "rds"], "jobs": cut})
    values |= {"pool": values["pool"] | {"shards": 3}, "gradients": values["gradients"] | settings}
    workflow = Workflow(tmp_path, values)
    jobs = planned_jobs(workflow)
    assert declared_jobs(workflow) == jobs
    assert sum(rule == "fit_curvature" for rule, _ in jobs) == (1 if settings.get("epochs") else 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.yaml", *(f"workflow/experiments/{name}.yaml" for name in SMALL)])
def test_the_shipped_experiments(name, tmp_path):
    workflow = shipped(name, tmp_path)
    assert declared_jobs(workflow) == planned_jobs(workflow)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama3-8b", "mistral-7b-v0.3"])
@pytest.mark.parametrize("shards", [None, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_the_papers_experiments_at_every_number_of_shards(name, shards, tmp_path):
    size = {"pool": {"shards": shards}, "jobs": {"assembly": 100}} if shards else {}
    workflow = shipped(f"workflow/experiments/{name}.yaml", tmp_path, **size)
    jobs = planned_jobs(workflow)
    assert declared_jobs(workflow) == jobs
    assert sum(rule == "collect_pool_gradients" for rule, _ in jobs) == 4 * workflow.values["pool"]["shards"]
