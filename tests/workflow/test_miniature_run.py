"""The embedded experiment, reduced, from nothing to its report; and what a sweep adds to it."""

import csv
import json

import pytest
import yaml
from workflow_runs import Workflow

from conftest import REPOSITORY

TASKS = ["trace", "code", "gsm", "math", "logic", "know", "form"]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """config.yaml with one budget, one seed, two warm-up epochs, every run a job of its own; run to the report."""
    values = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    values["model"]["base"] = str(REPOSITORY / values["model"]["base"])
    values |= {"budgets": [0.05], "selectors": ["task_max", "bids"]}
    values["warmup"]["epochs"] = 2
    values["finetune"] |= {"seeds": [0], "epochs": 1, "zero_shot": False}
    values["suites"]["miniature"]["limit"] = 20
    values["jobs"] |= {"runs": "separate", "threads": {"default": 1}}
    workflow = Workflow(tmp_path_factory.mktemp("miniature"), values)
    workflow.run()
    return workflow


@pytest.mark.slow
def test_the_report_holds_every_run_and_task(miniature):
    report = miniature.folder / miniature.results / "miniature" / "report"
    with open(report / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["selector"], row["task"]) for row in rows} == {(s, t) for s in ("task_max", "bids") for t in TASKS}
    assert all(int(row["items"]) == 20 for row in rows)
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "BIDS" in page
    for ending in ("csv", "md", "tex", "html"):
        assert (report / "tables" / f"table_2_selectors.{ending}").stat().st_size > 0
    assert list((report / "figures").glob("*.svg"))


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(miniature):
    assert miniature.planned() == {}


@pytest.mark.slow
def test_a_new_budget_or_selector_schedules_no_existing_fine_tuning(miniature):
    added = miniature.planned("--config", "budgets=[0.05,0.1]")
    assert added == {"select_budget": 2, "fine_tune": 2, "evaluate": 2, "report": 1}
    added = miniature.planned("--config", "selectors=[task_max,bids,round_robin]")
    assert added == {"rank": 1, "select_budget": 1, "fine_tune": 1, "evaluate": 1, "report": 1}
    removed = miniature.planned("--config", "selectors=[bids]")
    assert removed == {"report": 1}


@pytest.mark.slow
def test_selections_are_ready_to_train_on(miniature):
    paths = list((miniature.folder / miniature.results).glob("**/selection/bids/**/*.jsonl"))
    rows = [json.loads(line) for line in paths[0].read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 150
    assert [row["rank"] for row in rows] == list(range(150))
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] for row in rows)
    assert all(row["task"] in TASKS for row in rows)
