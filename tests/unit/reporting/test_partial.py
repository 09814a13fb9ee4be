"""A report before the end: of the finished runs alone, with what the others wait for, and without a verdict."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from equipoise.experiment import experiment_runs
from equipoise.reporting.catalogue import PAGE, results
from equipoise.reporting.decision import MEANINGS
from equipoise.reporting.material import Material
from equipoise.reporting.report import partial_report
from equipoise.reporting.standing import standing_of
from helpers.reporting_experiment import FEW, make_experiment

CLAIMS = (
    "higher",
    "lower",
    "distinguishable",
    "not shown",
    "no claim",
    "Yes against",
    *("▲", "▼", "○"),
)
SMALL = FEW | {"selectors": ["random", "task_max", "bids", "full"], "budgets": (0.1, 0.2), "suite_seeds": (0,)}

pytestmark = pytest.mark.usefixtures("undrawn")


def runs_of(config, name: str, budget: str = "0.1") -> list:
    return [run for run in experiment_runs(config) if (run.selector, run.budget) == (name, budget)]


def remove(config, runs) -> None:
    for run in runs:
        shutil.rmtree(config.layout.run(run))


def page_of(config) -> str:
    """What a reader sees: the page without scripts and styles."""
    page = (Path(config.layout.partial_report) / PAGE).read_text(encoding="utf-8")
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)


@pytest.fixture
def config(tmp_path):
    return make_experiment(tmp_path, **SMALL)


def table(folder: str, name: str = "table_2_selectors") -> pd.DataFrame:
    return pd.read_csv(Path(folder) / "tables" / f"{name}.csv", dtype={"budget": str}).set_index(["selector", "budget"])


def test_finished_arms_have_the_numbers_of_the_final_report_and_nothing_is_claimed(config):
    final = Material(config).frame("table_2_selectors").set_index(["selector", "budget"])
    remove(config, [*runs_of(config, "bids")[1:], *runs_of(config, "bids", "0.2"), *runs_of(config, "full", "1.0")])
    partial_report(config)
    partial = table(config.layout.partial_report)
    whole = [("zero_shot", "1.0"), *((name, budget) for name in ("random", "task_max") for budget in ("0.1", "0.2"))]
    assert set(partial.index) == {*whole, ("bids", "0.1")}
    columns = ["macro", "macro_sd", "trace", "form", "runs"]
    pd.testing.assert_frame_equal(partial.loc[whole, columns], final.loc[whole, columns], check_dtype=False)
    assert partial.loc[("bids", "0.1"), "runs"] == 1
    assert {row["selector"] for row in pd.read_csv(Path(config.layout.partial_report) / "scores.csv").to_dict("records")} == {
        *("zero_shot", "random", "task_max", "bids")
    }
    page = page_of(config)
    first = page[page.index('id="summary"') : page.index('id="waiting"')]
    assert [claim for claim in (*CLAIMS, *MEANINGS.values()) if claim in first] == []
    assert not {result.name for result in results(config) if result.decides} & {
        path.stem for path in Path(config.layout.partial_report).rglob("*") if path.suffix in (".csv", ".svg")
    }
    captions = re.findall(r'<(?:p class="caption"|figcaption)>(Partial: .*?)<', page)
    assert len(captions) > 10
    assert {caption[: len("Partial: 20 of 28 runs.")] for caption in captions} == {"Partial: 20 of 28 runs."}
    assert not Path(config.layout.partial_report, "verdict.txt").exists()


def test_unfinished_runs_are_named_with_what_they_wait_for(config):
    bids, full, less = runs_of(config, "bids"), runs_of(config, "full", "1.0"), runs_of(config, "task_max", "0.2")
    remove(config, [bids[1], *full, *less])
    layout = config.layout
    Path(layout.run_manifest(bids[1])).parent.mkdir(parents=True)
    Path(layout.run_manifest(bids[1])).touch()
    for made in (layout.selection("task_max", 0, "0.2"), layout.selection_manifest("task_max", 0, "0.2")):
        Path(made).unlink()
    waiting = {(each.selector, each.budget): (each.waits_for, each.finished, each.runs) for each in standing_of(config).unfinished}
    assert waiting == {
        ("bids", "0.1"): ("evaluate", 2, 3),
        ("task_max", "0.2"): ("select_budget", 0, 3),
        ("full", "1.0"): ("generate_miniature", 0, 3),  # its selection is not there, and neither is what any comes from
    }
    assert standing_of(config).config.selectors == ["random", "bids", "full"]
    partial_report(config)
    page = page_of(config)
    assert "2 of 3 runs" in page
    assert "<dt><code>evaluate</code></dt><dd>BIDS 10\u202f% (2 of 3)</dd>" in page
    assert "<dt>all runs, as they compare</dt><dd>Comparisons with random and LESS; " in page


def test_scores_of_another_configuration_are_no_finished_run(config):
    shots = {name: suite.model_copy(update={"num_fewshot": 1}) for name, suite in config.suites.items()}
    other = config.model_copy(update={"suites": shots})
    standing = standing_of(other)
    assert {each.finished for each in standing.unfinished} == {0}
    assert all("was made with suites" in each.waits_for for each in standing.unfinished)


def test_it_can_be_made_before_anything_is_there(config):
    shutil.rmtree(config.layout.root)
    partial_report(config)
    page = page_of(config)
    assert "Not decided yet: 0 of 28 runs are finished" in page
    assert "No run is finished." in page
    assert "run the stage" in page  # what the figures wait for
    assert 'id="examples"' not in page
    assert list((Path(config.layout.partial_report) / "tables").glob("*")) == []


def test_selections_are_shown_before_any_run(config):
    shutil.rmtree(f"{config.layout.root}/runs")
    partial_report(config)
    page = page_of(config)
    assert 'id="examples"' in page
    assert 'id="figure-overlap"' in page
    assert "Table 2: all selectors" in page[page.index('id="waiting"') :]


def test_with_all_runs_there_the_report_itself_is_named(config):
    partial_report(config)
    assert "all 28 runs are finished, and the report itself compares them" in page_of(config)
