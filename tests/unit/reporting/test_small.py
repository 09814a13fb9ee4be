"""Reports of small experiments: sweeps, few runs, broken and missing files, and what loading the report costs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equipoise.errors import UserError
from equipoise.experiment import evaluations, experiment_runs
from equipoise.layout import Run
from equipoise.reporting.catalogue import PAGE, SCORES, results
from equipoise.reporting.material import Material
from equipoise.reporting.report import report
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.summary import summary
from equipoise.selection.rank import rank, seconds_path
from equipoise.store.artefact import publish
from equipoise.store.kind import scores_names
from helpers.artefacts import publish_anew
from helpers.reporting_experiment import FEW, make_experiment


def frame(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv", dtype={"budget": str})


def test_rank_times_the_selector_alone_and_its_ranking_does_not_depend_on_it(tmp_path):
    config = make_experiment(tmp_path, **FEW)
    layout = config.layout
    ranking, seen = Path(layout.ranking("random", 0)), []
    for _ in range(2):
        rank(config, "random", 0)
        seen.append((ranking.read_bytes(), seconds_path(str(ranking)).read_bytes()))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]
    cost = Material(config, benchmarks=tmp_path / "no benchmarks").frame("table_cost").set_index("selector")
    assert cost.loc["random", "seconds"] == json.loads(seen[1][1])["seconds"] > 0
    assert np.isnan(cost.loc["random", "job_seconds"])
    assert np.isnan(cost.loc["bids", "seconds"])


def test_fewer_than_three_runs_are_labelled_and_claim_nothing(tmp_path):
    config = make_experiment(tmp_path, seeds=(0,), **FEW)
    material = Material(config, draws=500)
    statistics = {result.name: material.frame(result.name) for result in results(config) if result.section.id == "statistics"}
    assert set(statistics["statistics_comparisons"]["interval"]) == {"items only"}
    assert any("no claim is made" in sentence for sentence in summary(config, statistics))
    sentences = summary(config, statistics)
    assert not any(words in sentence for sentence in sentences for words in ("scored higher", "scored lower", "not distinguishable from"))
    claims = [sentence for sentence in sentences if any(words in sentence for words in ("has the highest", "smallest gain", "BIDS minus"))]
    assert len(claims) == 3
    assert all("no claim" in sentence for sentence in claims)
    assert not any("Every claim above" in sentence for sentence in sentences)


def test_report_removes_what_another_configuration_left(tmp_path, undrawn):
    config = make_experiment(tmp_path, **FEW | {"selectors": ["random", "bids"]})
    folder = Path(config.layout.report)
    for path in (folder / "tables" / "table_3_ablation.csv", folder / "figures" / "figure_2_thi_less.svg", folder / "notes.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of another sweep", encoding="utf-8")
    report(config)
    promised = {file for result in results(config) for file in result.files}
    assert {str(path.relative_to(folder)) for path in folder.glob("*/*")} == promised
    assert (folder / "notes.txt").exists()


def test_a_sweep_without_the_baselines_is_reported(tmp_path, undrawn):
    config = make_experiment(tmp_path, **FEW | {"selectors": ["bids", "round_robin"], "budgets": (0.1, 20)})
    report(config)
    folder = Path(config.layout.report)
    names = {result.name for result in results(config)}
    assert "statistics_comparisons" not in names
    assert "statistics_bids" in names
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {PAGE, SCORES, Path(config.layout.verdict).name} | {
        file for result in results(config) for file in result.files
    }
    assert set(frame(folder, "table_2_selectors")["group"]) == {"Anchors", "10 %", "20 examples"}


def test_broken_inputs_are_named(tmp_path):
    config = make_experiment(tmp_path, **FEW)
    layout = config.layout
    run = Run("bids", 0, "0.1", 2, 1)
    samples = Path(layout.samples(run, "skills", 0))
    whole = samples.read_text(encoding="utf-8")

    def write(text):
        samples.write_text(text, encoding="utf-8")
        publish_anew(config, "scores", scores_names(run, "skills", 0))

    write(whole.replace('"score": 1.0', '"score": 0.0', 3))
    with pytest.raises(UserError, match="the scores file says") as error:
        read_evaluation(config)
    assert str(samples) in str(error.value)

    write("\n".join(whole.splitlines()[1:]) + "\n")
    with pytest.raises(UserError, match="other items"):
        read_evaluation(config)

    samples.unlink()
    with pytest.raises(UserError, match="missing"):
        read_evaluation(config)


def fail(config, failed) -> None:
    """Leaves what `evaluate` leaves of runs whose training failed."""
    for run in experiment_runs(config):
        if failed(run):
            for suite, seed in evaluations(config):
                Path(config.layout.samples(run, suite, seed)).write_text("")
                reason = f"{run.path}: loss is nan at step 7"
                of = scores_names(run, suite, seed)
                publish(config, "scores", of, [config.layout.samples(run, suite, seed)], run=vars(run), tasks={}, failed=reason)


@pytest.mark.parametrize(
    ("failed", "count"),
    [
        (lambda run: run.selector == "bids" and run.seed == 1, 1),
        (lambda run: run.selector == "bids", 3),
        pytest.param(lambda run: run.selector == "random", 6, marks=pytest.mark.nightly),
        pytest.param(lambda run: run.selector != "bids", 10, marks=pytest.mark.nightly),
    ],
    ids=["one run", "the method", "a baseline", "all others"],
)
def test_failed_runs_are_shown_as_failed_and_count_in_no_mean(tmp_path, undrawn, failed, count):
    config = make_experiment(tmp_path, **FEW)
    fail(config, failed)
    report(config)
    folder = Path(config.layout.report)
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert page.count("loss is nan at step 7") == count
    assert "in no table or figure" in page
    macro = frame(folder, "statistics_macro")
    assert macro["runs"].sum() == len(experiment_runs(config)) - count
    assert {str(path.relative_to(folder)) for path in folder.glob("*/*")} == {file for result in results(config) for file in result.files}


def test_an_experiment_whose_runs_have_all_failed_says_so(tmp_path, undrawn):
    config = make_experiment(tmp_path, **FEW)
    fail(config, lambda run: True)
    with pytest.raises(UserError, match=r"all 13 runs have failed, the first: .*loss is nan at step 7"):
        report(config)


def test_answers_need_two_sides(tmp_path):
    config = make_experiment(tmp_path, **FEW | {"selectors": ["random"]})
    assert "tables_5_to_7_answers" not in {result.name for result in results(config)}
