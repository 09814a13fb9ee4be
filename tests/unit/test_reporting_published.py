"""The paper's numbers beside an experiment's."""

import csv

import numpy as np
import pandas as pd
import pytest
from equipoise.reporting.comparisons import Bootstrap
from equipoise.reporting.figures import influence_figures
from reporting_experiment import FEW, make_experiment

from conftest import SHARED
from equipoise.reporting import published
from equipoise.reporting.catalogue import results
from equipoise.reporting.influence import Influence
from equipoise.reporting.plot_influence import thi_ablation
from equipoise.reporting.score_tables import score_row
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.side_by_side import side_by_side, thi_side_by_side


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
    assert published.published_thi(config, "task_max", "0.1") == {}  # not a selector of this experiment


def test_published_thi_stands_beside_the_four_selectors_that_have_it(tmp_path):
    four = ["task_max", "instance_max", "instance_max_normalized", "bids"]
    settings = FEW | {"selectors": ["random", *four]}
    config = make_experiment(tmp_path / "a", model="llama3-8b", **settings)
    shares = {name: published.published_thi(config, name, "0.1")["math"] for name in four}
    assert shares == pytest.approx(dict(zip(four, (2073 / 28857, 4221 / 28857, 4776 / 28857, 3827 / 28857), strict=True)))
    influence = Influence(config)
    drawn = influence_figures(config, influence, np.full(influence.matrix.values.shape[0], "chat"))
    frames = {figure.name: figure.frame for figure in drawn}
    for name in four[1:]:
        assert frames["figure_3_thi_ablation"].set_index("task").loc["math", f"{name}_published_share"] == pytest.approx(shares[name])
    table = thi_side_by_side(config, frames)
    rows = table.frame.set_index("selector")
    assert list(rows.index) == four
    assert rows["published"].to_numpy() == pytest.approx([100 * share for share in shares.values()])
    own = frames["figure_3_thi_ablation"].set_index("task")["bids"]
    assert rows.loc["bids", "ours"] == pytest.approx(100 * own["math"] / own.sum())
    assert rows.loc["bids", "difference"] == pytest.approx(rows.loc["bids", "ours"] - rows.loc["bids", "published"])
    assert rows.loc["bids", "source"] == "arXiv 2501.12147, Figure 3"
    assert table.name in {result.name for result in results(config)}

    for other in (
        make_experiment(tmp_path / "b", **settings),
        make_experiment(tmp_path / "c", model="llama3-8b", **settings | {"budgets": (0.2,)}),
    ):
        assert thi_side_by_side(other, frames) is None
        assert table.name not in {result.name for result in results(other)}


def test_figure_3_says_what_is_counted_under_another_normalisation():
    frame = pd.DataFrame({"task": ["gsm", "math"], "bids": [3, 5]})
    assert "each on what it ranks" in thi_ablation(frame, "10 %").caption
    caption = thi_ablation(frame, "10 %", "rank").caption
    assert "each on what it ranks" not in caption
    assert "although they rank on rank-normalised influence here" in caption
