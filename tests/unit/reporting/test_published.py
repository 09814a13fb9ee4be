"""The paper's numbers beside an experiment's."""

import csv
from pathlib import Path

import pytest

from equipoise.reporting import published
from equipoise.reporting.catalogue import results
from equipoise.reporting.material import Material
from equipoise.store.manifest import read_manifest
from helpers.artefacts import publish_anew
from helpers.places import SHARED
from helpers.reporting_experiment import FEW, make_experiment


def test_published_numbers_equal_the_shared_ones():
    folder = SHARED / "published"
    if not folder.exists():
        pytest.skip(f"{folder}: the shared published numbers are not here")
    for name, rows in (("scores.csv", published.published_scores()), ("thi_10percent.csv", published.published_counts())):
        with (folder / name).open(encoding="utf-8") as file:
            assert [{k: v for k, v in row.items() if k != "source"} for row in rows] == list(csv.DictReader(file))
        assert all(row["source"].startswith("arXiv 2501.12147, ") for row in rows)


def test_side_by_side_only_where_model_and_budget_match(tmp_path):
    assert "published" not in {result.name for result in results(make_experiment(tmp_path / "a", **FEW))}
    config = make_experiment(tmp_path / "b", model="llama3-8b", **FEW)  # of its tasks only `math` bears a benchmark's name
    assert published.benchmark_of(config) == {"math": "math"}
    assert "published" in {result.name for result in results(config)}
    rows = Material(config, draws=10).frame("published")
    assert set(zip(rows["selector"], rows["published"], strict=True)) == {("random", 24.0), ("bids", 25.1), ("full", 32.3)}
    assert (rows["ours"] - rows["published"]).to_numpy() == pytest.approx(rows["difference"].to_numpy())
    assert published.thi_shares(config, "task_max", "0.1") == {}  # not a selector of this experiment


def test_published_thi_stands_beside_the_four_selectors_that_have_it(tmp_path):
    four = ["task_max", "instance_max", "instance_max_normalized", "bids"]
    settings = FEW | {"selectors": ["random", *four]}
    config = make_experiment(tmp_path / "a", model="llama3-8b", **settings)
    shares = {name: published.thi_shares(config, name, "0.1")["math"] for name in four}
    assert shares == pytest.approx(dict(zip(four, (2073 / 28857, 4221 / 28857, 4776 / 28857, 3827 / 28857), strict=True)))
    material = Material(config)
    counts = material.frame("figure_3_thi_ablation").set_index("task")
    for name in four[1:]:
        assert counts.loc["math", f"{name}_published_share"] == pytest.approx(shares[name])
    rows = material.frame("published_thi").set_index("selector")
    assert list(rows.index) == four
    assert rows["published"].to_numpy() == pytest.approx([100 * share for share in shares.values()])
    own = counts["bids"]
    assert rows.loc["bids", "ours"] == pytest.approx(100 * own["math"] / own.sum())
    assert rows.loc["bids", "difference"] == pytest.approx(rows.loc["bids", "ours"] - rows.loc["bids", "published"])
    assert rows.loc["bids", "source"] == "arXiv 2501.12147, Figure 3"
    assert "published_thi" in {result.name for result in results(config)}

    for other in (
        make_experiment(tmp_path / "b", **settings),
        make_experiment(tmp_path / "c", model="llama3-8b", **settings | {"budgets": (0.2,)}),
    ):
        assert "published_thi" not in {result.name for result in results(other)}


def test_figure_3_says_what_is_counted_under_another_normalisation(tmp_path):
    config = make_experiment(tmp_path, **FEW)
    assert "each on what it ranks" in Material(config).make("figure_3_thi_ablation").caption
    config = config.model_copy(update={"selection": config.selection.model_copy(update={"normalisation": "rank"})})
    for path in Path(config.layout.ranking("bids", 0)).parents[1].glob("*/*.json"):
        publish_anew(config, "ranking", read_manifest(path, "ranking")["of"])
    caption = Material(config).make("figure_3_thi_ablation").caption
    assert "each on what it ranks" not in caption
    assert "although they rank on rank-normalised influence here" in caption
