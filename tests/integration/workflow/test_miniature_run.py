"""The embedded experiment, reduced, from nothing to its report; and what a sweep adds to it."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.reporting.catalogue import PAGE, SCORES, results
from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow

pytestmark = pytest.mark.in_order  # one run is made, swept and made again; each would take three minutes of its own
TASKS = ["trace", "code", "gsm", "math", "logic", "know", "form"]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """config.yaml with one budget, one seed, two warm-up epochs, every run a job of its own; run to the report."""
    values = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    values |= {"budgets": [0.05], "selectors": ["task_max", "bids"]}
    values["warmup"]["epochs"] = 2
    values["finetune"] |= {"seeds": [0], "epochs": 1, "zero_shot": False}
    values["suites"]["miniature"] |= {"limit": 10, "measure": "accuracy"}
    values["pool"]["limit"], values["targets"]["size"] = 1500, 20
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
    assert all(int(row["items"]) == 10 for row in rows)
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "BIDS" in page
    for ending in ("csv", "md", "tex", "html"):
        assert (report / "tables" / f"table_2_selectors.{ending}").stat().st_size > 0
    assert list((report / "figures").glob("*.svg"))
    assert (report / "index.html").stat().st_size < 8 * 2**20


@pytest.mark.slow
def test_figures_are_drawn_anew_alone(miniature):
    report = miniature.folder / miniature.results / "miniature" / "report"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in report.rglob("*") if path.is_file()}
    said = miniature.run("figures")
    assert re.findall(r"^(?:local)?rule (\w+):", said, re.M) == ["figures"]
    for path, (time, content) in before.items():
        assert path.read_bytes() == content, path
        assert (path.stat().st_mtime_ns > time) == (path.parent.name == "figures"), path


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
    assert len(rows) == 75
    assert [row["rank"] for row in rows] == list(range(75))
    assert all([message["role"] for message in row["messages"]] == ["user", "assistant"] for row in rows)
    assert all(row["task"] in TASKS for row in rows)


def report_data(page: str, name: str) -> dict:
    """A variable of the page that `snakemake --report` writes."""
    before = f"var {name} = "
    return json.JSONDecoder().raw_decode(page[page.index(before + "{") + len(before) :])[0]


@pytest.mark.slow
def test_snakemakes_own_report_shows_every_result_with_caption_category_and_labels(miniature):
    path = miniature.folder / "report.html"
    miniature.run("--report", str(path))
    page = path.read_text(encoding="utf-8")
    shown = {key.split("/report/")[-1]: value for key, value in report_data(page, "results").items()}
    wanted = results(parse_config(miniature.values))
    assert set(shown) == {PAGE, SCORES} | {result.files[0] for result in wanted}
    for name, value in shown.items():
        assert "<p>" in value["caption"], name
        assert "system-message" not in value["caption"], value["caption"]
        assert set(value["labels"]) == {"result", "kind"}, name
    categories = report_data(page, "categories")
    assert set(categories) == {"Report", "Scores"} | {result.category for result in wanted}


def left_in(report) -> set[str]:
    return {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()}


def promised(workflow: Workflow, **changes) -> set[str]:
    """Files of the report of a workflow's configuration with changes."""
    config = parse_config(workflow.values | changes)
    return {PAGE, SCORES, Path(config.layout.verdict).name} | {file for result in results(config) for file in result.files}


@pytest.mark.slow
def test_a_sweep_reaches_the_report_and_makes_nothing_anew_that_was_there(miniature):
    root = miniature.folder / miniature.results / "miniature" / "miniature-base"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert (root.parent / "report" / "figures" / "figure_2_thi_less.svg").exists()
    said = miniature.run("--config", "budgets=[0.02,0.05]", "selectors=[bids,round_robin]")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    started = re.findall(r"^(?:local)?rule (\w+):", said, re.M)
    assert {name: started.count(name) for name in set(started)} == {
        "rank": 1,
        "select_budget": 3,
        "fine_tune": 3,
        "evaluate": 3,
        "report": 1,
        "all": 1,
    }
    report = root.parent / "report"
    assert left_in(report) == promised(miniature, budgets=[0.02, 0.05], selectors=["bids", "round_robin"])
    with open(report / "scores.csv", encoding="utf-8") as file:
        arms = {(row["selector"], row["budget"]) for row in csv.DictReader(file)}
    assert arms == {(name, budget) for name in ("bids", "round_robin") for budget in ("0.02", "0.05")}
    for path in (report / "tables" / "table_2_selectors.md", report / "index.html"):
        text = path.read_text(encoding="utf-8")
        assert all(budget in text for budget in ("2 %", "5 %")), path


@pytest.mark.nightly
def test_one_command_compares_estimators_beside_what_is_there(miniature):
    """Tiny trials of one further estimator: its own stores, a table on standard output, a section of the page."""
    root = miniature.folder / miniature.results / "miniature" / "miniature-base"
    sizes = {"one_step": {"rows": 2}, "subsets": {"count": 2, "share": 0.02, "seeds": [0, 1]}, "removal": {"without": [], "only": []}}
    asked = ("--config", "validation=" + json.dumps({"estimators": ["tracin"], **sizes}))
    own = {path: path.stat().st_mtime_ns for path in (root / "gradients").rglob("*") if path.is_file()}
    said = miniature.run("validation", *asked)
    started = re.findall(r"^(?:local)?rule (\w+):", said, re.M)
    assert (started.count("measure_one_step"), started.count("retrain"), started.count("validate_influence")) == (2, 4, 1)
    assert "difference from less" in said
    assert {path: path.stat().st_mtime_ns for path in own} == own
    results = json.loads((root / "validation" / "validation.json").read_text(encoding="utf-8"))["results"]
    compared = ["less", "tracin", "rds", "rds_plus", "gradient_norm", "loss", "length", "random"]
    assert [(each["measure"], each["candidate"]) for each in results] == [(m, c) for m in ("one_step", "subsets") for c in compared]
    (root / "validation" / "retrainings" / "subsets-seed-1" / "subset-001.json").unlink()
    again = miniature.run("validation", *asked)
    assert re.findall(r"^(?:local)?rule (\w+):", again, re.M) == ["retrain", "validate_influence", "validation"]
    assert json.loads((root / "validation" / "validation.json").read_text(encoding="utf-8"))["results"] == results
    miniature.run(*asked)
    page = (root.parent / "report" / "index.html").read_text(encoding="utf-8")
    assert "What the estimators are worth" in page
    assert (root.parent / "report" / "figures" / "predicted_and_true.svg").stat().st_size > 0


@pytest.mark.slow
def test_a_sweep_of_selectors_that_run_in_one_job_leaves_nothing_of_the_first_configuration(miniature):
    """As shipped, `jobs.runs: together`; last here, because the other tests count separate jobs."""
    miniature.values["jobs"]["runs"] = "together"
    report = miniature.folder / miniature.results / "miniature" / "report"
    miniature.run()
    assert left_in(report) == promised(miniature)
    miniature.run("--config", "budgets=[0.02,0.05]", "selectors=[bids,round_robin]")
    assert left_in(report) == promised(miniature, budgets=[0.02, 0.05], selectors=["bids", "round_robin"])
    with open(report / "scores.csv", encoding="utf-8") as file:
        arms = {(row["selector"], row["budget"]) for row in csv.DictReader(file)}
    assert arms == {(name, budget) for name in ("bids", "round_robin") for budget in ("0.02", "0.05")}
