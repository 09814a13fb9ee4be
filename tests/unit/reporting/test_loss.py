"""Held-out loss beside accuracy, or alone: every best, rank, verdict, gain and sentence counts the lower as the better."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equipoise.experiment import experiment_runs, measured
from equipoise.layout import Run
from equipoise.measures import ACCURACY, LOSS, MEASURES, measures_of
from equipoise.reporting.bootstrap import Bootstrap, balances, compare_selectors, macro_averages, ranks
from equipoise.reporting.catalogue import results
from equipoise.reporting.compare import compare
from equipoise.reporting.material import Material
from equipoise.reporting.report import report
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.summary import summary
from equipoise.reporting.table import Column, Table, cells
from helpers.losses import LOSSES, with_losses
from helpers.reporting_experiment import make_experiment


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A reported experiment with both measures, in which `bids` has the best of either."""
    folder = tmp_path_factory.mktemp("both")
    made = make_experiment(folder, selectors=list(LOSSES)[1:], budgets=(0.1,), extra=[], rows=120, per_task=2, advantage={"bids": 3.0})
    config = with_losses(made)
    report(config)
    return config


@pytest.fixture(scope="module")
def by_loss(both):
    return Bootstrap(read_evaluation(both, LOSS))


def test_measures_are_read_apart(both, by_loss):
    assert measured(both) == [ACCURACY, LOSS]
    assert [measures_of(asked) for asked in ("accuracy", "loss", "both")] == [(ACCURACY,), (LOSS,), MEASURES]
    own = {arm.selector: by_loss.mean(arm).mean() for arm in by_loss.arms}
    assert sorted(own, key=own.get) == ["bids", "full", "random", "task_max", "zero_shot"]
    assert own["bids"] == pytest.approx(1.5 + 0.6, abs=0.25), "in nats, not times a hundred"


def test_ranks_comparisons_and_gains_count_the_lower_as_the_better(by_loss):
    ranked = {row["selector"]: row for row in ranks(by_loss, ["0.1"])}
    assert [ranked[name]["rank"] for name in ("bids", "random", "task_max")] == [1.0, 2.0, 3.0]
    assert ranked["bids"]["best_share"] > 0.99
    compared = {(row["selector"], row["baseline"]): row for row in compare_selectors(by_loss)}
    better, worse = compared["bids", "random"], compared["task_max", "random"]
    assert (better["verdict"], better["claim"].split(" (these")[0]) == ("lower", "lower (better)")
    assert better["high"] < 0
    assert (worse["verdict"], worse["claim"].split(" (these")[0]) == ("higher", "higher (worse)")
    gains = {row["selector"]: row for row in balances(by_loss)}
    assert gains["bids"]["mean_gain"] == pytest.approx(0.5, abs=0.05)
    assert gains["bids"]["minimum"] > 0 > gains["task_max"]["mean_gain"]
    assert gains["bids"]["minimum"] == min(value for key, value in gains["bids"].items() if key.startswith("gain_"))


def test_differences_are_paired_by_item(by_loss):
    """Items differ by 0.4 nats, runs of one selector by hundredths: unpaired, nothing would be seen."""
    (row,) = (row for row in macro_averages(by_loss) if row["selector"] == "bids")
    (pair,) = (row for row in compare_selectors(by_loss) if (row["selector"], row["baseline"]) == ("task_max", "random"))
    assert pair["high"] - pair["low"] < row["high"] - row["low"]
    assert row["se_items"] == pytest.approx(0.42 / np.sqrt(40) / np.sqrt(7), rel=0.4)


def test_the_smallest_shown_value_is_marked_best():
    frame = pd.DataFrame({"name": list("abc"), "loss": [2.0, 1.0, 3.0], "measure": "loss"})
    (group,) = cells(Table("", frame, (Column("name", "Name"), Column("loss", "Loss", 1, best=True, lowest=True, measured=True))))
    assert [(row[1].text, row[1].mark) for row in group.rows] == [("2.000", "second"), ("1.000", "best"), ("3.000", "")]


def test_tables_hold_the_loss_beside_the_accuracy(both):
    material = Material(both)
    for name in ("table_2_selectors", "table_1_less_and_random", "table_4_model"):
        table = material.make(name)
        keys = [column.key for column in table.columns]
        assert keys == ["label", "macro", "macro_loss", *both.tasks, *(f"{task}_loss" for task in both.tasks)]
        lowest = {column.key: column.lowest for column in table.columns if column.best}
        assert [key for key, low in lowest.items() if low] == [key for key in keys if key.endswith("_loss")]
    rows = {row["selector"]: row for row in material.frame("table_2_selectors").to_dict("records")}
    assert rows["bids"]["macro"] > rows["random"]["macro"]
    assert rows["bids"]["macro_loss"] < rows["random"]["macro_loss"]
    for name in ("statistics_comparisons", "statistics_bids", "statistics_macro", "statistics_ranks", "statistics_balance"):
        made = material.make(name)
        assert set(made.frame["measure"]) == {"accuracy", "loss"}
        assert made.columns[1].key == "measure"
    firsts = material.frame("statistics_ranks").query("selector == 'bids'")
    assert firsts["rank"].tolist() == [1.0, 1.0]


def test_the_report_shows_both_and_scores_csv_holds_both(both):
    folder = Path(both.layout.report)
    scores = pd.read_csv(folder / "scores.csv", dtype={"budget": str})
    runs = len(experiment_runs(both))
    assert scores["measure"].value_counts().to_dict() == {"accuracy": runs * (6 + 3), "loss": runs * 7}
    assert scores[scores["measure"] == "loss"]["suite_seed"].isna().all()
    names = {result.name for result in results(both)}
    assert {"loss_by_budget", "loss_differences", "loss_ranks"} <= names
    page = (folder / "index.html").read_text()
    assert "BIDS has the lowest mean held-out loss" in page
    assert "scored lower (better) than Random" in page
    assert "BIDS has the highest macro average" in page
    assert "nats a token" in (folder / "figures" / "loss_differences.svg").read_text()


def test_loss_alone_takes_the_place_of_accuracy(tmp_path):
    made = make_experiment(tmp_path, selectors=["random", "bids", "full"], budgets=(0.1,), extra=[], rows=60, per_task=2)
    config = with_losses(made, measure="loss")
    material = Material(config, draws=200)
    names = [result.name for result in results(config)]
    assert not {"loss_ranks", "tables_5_to_7_answers", "published"} & set(names)
    frames = {name: material.frame(name) for name in names if name.startswith(("statistics", "table_", "figure_2", "figure_3"))}
    sentences = " ".join(summary(config, frames))
    assert "lowest mean held-out loss" in sentences
    assert "macro average" not in sentences
    assert material.make("ranks").frame["measure"].unique().tolist() == ["loss"]
    assert material.make("table_2_selectors").columns[1].lowest


def test_two_experiments_are_compared_by_each_measure(tmp_path):
    made = [
        with_losses(
            make_experiment(tmp_path, name=name, selectors=["random", "bids"], budgets=(0.1,), extra=[], rows=60, per_task=2), losses
        )
        for name, losses in (("one", LOSSES), ("two", {name: loss - 0.4 for name, loss in LOSSES.items()}))
    ]
    table = compare(*made)
    rows = table.frame[table.frame["measure"] == "loss"]
    assert len(rows) * 2 == len(table.frame)
    assert rows["difference"].tolist() == pytest.approx([-0.4] * len(rows), abs=0.05)
    trained = rows[rows["selector"] != "zero_shot"]
    assert trained["claim"].str.startswith("lower (better)").all()


def test_a_run_of_no_losses_is_named(both):
    run = Run("bids", 0, "0.1", both.finetune.epochs, 0)
    path = Path(both.layout.samples(run, "skills", "loss"))
    kept = path.read_text()
    path.unlink()
    try:
        with pytest.raises(Exception, match=r"loss.samples.jsonl: missing; run `equipoise verify --heal"):
            read_evaluation(both, LOSS)
    finally:
        path.write_text(kept)
