"""The paper's numbers beside an experiment's."""

import csv

import pandas as pd
import pytest
from reporting_experiment import FEW, make_experiment

from conftest import SHARED
from equipoise.reporting import published
from equipoise.reporting.comparisons import Bootstrap
from equipoise.reporting.score_tables import score_row
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.side_by_side import side_by_side


def test_published_numbers_equal_the_shared_ones():
    folder = SHARED / "published"
    if not folder.exists():
        pytest.skip(f"{folder}: the shared published numbers are not here")
    for name, rows in (("scores.csv", published.published_scores()), ("thi_10percent.csv", published.published_counts())):
        with (folder / name).open(encoding="utf-8") as file:
            assert [{k: v for k, v in row.items() if k != "source"} for row in rows] == list(csv.DictReader(file))
        assert all(row["source"].startswith("arXiv 2501.12147, ") for row in rows)


def test_side_by_side_only_where_model_and_budget_match(tmp_path):
    def table(config):
        bootstrap = Bootstrap(read_evaluation(config), draws=10)
        return side_by_side(config, pd.DataFrame([score_row(config, bootstrap, arm) for arm in bootstrap.arms]))

    assert table(make_experiment(tmp_path / "a", **FEW)) is None
    config = make_experiment(tmp_path / "b", model="llama3-8b", **FEW)  # of its tasks only `math` bears a benchmark's name
    assert published.benchmark_of(config) == {"math": "math"}
    rows = table(config).frame
    assert set(zip(rows["selector"], rows["published"], strict=True)) == {("random", 24.0), ("bids", 25.1), ("full", 32.3)}
    assert (rows["ours"] - rows["published"]).to_numpy() == pytest.approx(rows["difference"].to_numpy())
    assert published.published_thi(config, "task_max", "0.1") == {"math": pytest.approx(2073 / 28857)}
