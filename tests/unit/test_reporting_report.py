"""The whole report over an experiment's files, written in the formats of the stages."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting_experiment import ADVANTAGE, CAPABILITIES, SOURCES, make_experiment

from conftest import SHARED
from equipoise.errors import UserError
from equipoise.layout import Layout, Run
from equipoise.reporting import published
from equipoise.reporting.answers import answer_table, chosen_items
from equipoise.reporting.catalogue import PAGE, SCORES, results
from equipoise.reporting.compare import compare, find_experiment
from equipoise.reporting.comparisons import Bootstrap
from equipoise.reporting.examples import selected_examples
from equipoise.reporting.facts import cost_table, times
from equipoise.reporting.influence import Influence
from equipoise.reporting.report import figures, report
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.side_by_side import side_by_side
from equipoise.reporting.style import LOOKS
from equipoise.reporting.style import SOURCES as SOURCE_COLORS
from equipoise.selection.registry import selector_names

REPORT_FOLDER = Path(__file__).parents[2] / "workflow" / "report"
FEW = {"selectors": ["random", "bids", "full"], "budgets": (0.1,), "extra": [], "items": 12, "rows": 60, "per_task": 2}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A reported experiment: configuration and report folder."""
    config = make_experiment(tmp_path_factory.mktemp("results"), name="whole")
    report(config)
    return config, Path(Layout(config.results, config.experiment, config.model.name).report)


def frame(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv", dtype={"budget": str})


def test_report_writes_exactly_what_the_catalogue_says(reported):
    config, folder = reported
    promised = {PAGE, SCORES} | {file for result in results(config) for file in result.files}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == promised


def test_every_result_has_a_caption_file(reported):
    config, _ = reported
    for result in results(config):
        assert (REPORT_FOLDER.parent / result.caption).read_text(encoding="utf-8").strip(), result.name
    for name in ("page", "scores"):
        assert (REPORT_FOLDER / f"{name}.rst").read_text(encoding="utf-8").strip()


def test_catalogue_loads_without_numpy():
    code = "import sys, equipoise.reporting.catalogue; sys.exit(any(m in sys.modules for m in ('numpy', 'pandas', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_report_imports_neither_torch_nor_transformers():
    code = "import sys, equipoise.reporting.report; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'lm_eval')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scores_csv_is_tidy_and_complete(reported):
    config, folder = reported
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    runs = len(read_evaluation(config).runs)
    assert len(rows) == runs * (6 + 3)  # six tasks once, the instruction task under three suite seeds
    keys = {tuple(row[k] for k in ("selector", "selection_seed", "budget", "epochs", "seed", "suite_seed", "task")) for row in rows}
    assert len(keys) == len(rows)


def test_table_2_holds_means_over_runs_and_the_median_over_suite_seeds(reported):
    _, folder = reported
    scores = pd.read_csv(folder / "scores.csv", dtype={"budget": str})
    table = frame(folder, "table_2_selectors")
    row = table[(table["selector"] == "random") & (table["budget"] == "0.1")].iloc[0]
    own = scores[(scores["selector"] == "random") & (scores["budget"] == "0.1")]
    by_run = own.groupby(["selection_seed", "seed", "task"])["score"].median().unstack()
    assert len(by_run) == row["runs"] == 6
    assert row["form"] == pytest.approx(by_run["form"].mean())
    assert row["form_sd"] == pytest.approx(by_run["form"].std())
    assert row["macro"] == pytest.approx(by_run[list(CAPABILITIES)].mean(axis=1).mean())
    assert row["macro_sd"] == pytest.approx(by_run[list(CAPABILITIES)].mean(axis=1).std())


def test_tables_show_the_rows_they_are_for(reported):
    _, folder = reported
    assert set(frame(folder, "table_1_less_and_random")["selector"]) == {"random", "task_max"}
    assert set(frame(folder, "table_3_ablation")["selector"]) == {"instance_max", "instance_max_normalized", "bids"}
    every = frame(folder, "table_2_selectors")
    assert {"zero_shot", "oracle", "full"} <= set(every["selector"])
    assert set(every[(every["selector"] == "bids") & (every["budget"] == "0.15")]["epochs"]) == {2, 4}
    assert not every[every["selector"].isin(("zero_shot", "oracle", "full"))]["competes"].any()


def test_known_advantages_are_found_and_nothing_else_is_claimed(reported):
    _, folder = reported
    comparisons = frame(folder, "statistics_comparisons")
    claimed = comparisons[comparisons["verdict"].isin(("higher", "lower"))]
    assert "bids" in set(claimed["selector"])
    for row in claimed.to_dict("records"):
        truth = ADVANTAGE[row["selector"]] - ADVANTAGE[row["baseline"]]
        assert row["verdict"] == ("higher" if truth > 0 else "lower"), row


def test_summary_speaks_of_what_is_not_distinguishable_and_of_intervals(reported):
    _, folder = reported
    page = (folder / PAGE).read_text(encoding="utf-8")
    start = page.index('<ul class="summary">')
    text = page[start : page.index("</ul>", start)]
    assert "not distinguishable from" in text
    assert "95\u202f% interval" in text or "95 % interval" in text
    assert "Zero-shot" in text


def test_page_needs_no_network_and_is_small(reported):
    _, folder = reported
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert len(page) < 8 * 2**20
    markup = page[: page.index('<script type="text/plain"')]
    for reference in ('src="http', "src='http", "@import", 'href="http', "url(http"):
        assert reference not in markup


def test_figures_alone_give_the_same_bytes(reported):
    config, folder = reported
    names = [path for path in sorted((folder / "figures").iterdir()) if path.name.startswith(("differences", "overlap"))]
    before = {path: path.read_bytes() for path in names}
    assert len(names) == 8
    for path in names:
        path.unlink()
    figures(config)
    assert {path: path.read_bytes() for path in names} == before


def test_qualitative_pairs_have_one_right_and_one_wrong_answer(reported):
    _, folder = reported
    pairs = frame(folder, "tables_5_to_7_answers").astype(str)
    assert len(pairs)
    for row in pairs.to_dict("records"):
        right, wrong = ("a", "b") if row["right"] == "A" else ("b", "a")
        assert (row[f"verdict_{right}"], row[f"verdict_{wrong}"]) == ("right", "wrong")
        assert row[f"answer_{right}"] == row["target"] != row[f"answer_{wrong}"]


def test_the_rule_prefers_unanimous_items_and_orders_them_by_hash():
    a = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], float)
    b = np.array([[0, 0, 0, 1], [0, 0, 1, 1]], float)
    assert chosen_items(a, b, ["d", "b", "a", "c"]) == ([1, 0], 2)
    assert chosen_items(a[:, 2:], b[:, 2:], ["a", "c"]) == ([], 0)
    assert chosen_items(np.array([[1.0, 1], [0, 1]]), np.array([[0.0, 1], [0, 0]]), ["a", "b"]) == ([0, 1], 2)


def test_influence_frames_agree_with_the_matrix(reported):
    config, folder = reported
    influence = Influence(config)
    pool = pd.read_csv(folder / "figures" / "figure_1_aid_pool.csv")
    assert pool["aid"].to_numpy() == pytest.approx(influence.matrix.mean, abs=1e-9)
    rows = influence.selected("bids", 23)
    normal = (influence.matrix.values[rows] - influence.matrix.mean) / influence.matrix.std
    ablation = pd.read_csv(folder / "figures" / "figure_4_aid_ablation.csv")
    assert ablation["bids"].to_numpy() == pytest.approx(normal.mean(axis=0), abs=1e-6)
    overlap = pd.read_csv(folder / "figures" / "overlap.csv").set_index(["selector", "other"])["jaccard"]
    one, two = set(influence.selected("sum", 23)), set(influence.selected("bids", 23))
    assert overlap["sum", "bids"] == pytest.approx(len(one & two) / len(one | two))
    served = pd.read_csv(folder / "figures" / "steps_served.csv")
    assert served.groupby("from")["share"].sum().to_numpy() == pytest.approx(1.0)
    composition = pd.read_csv(folder / "figures" / "sources.csv")
    assert set(composition["source"]) == set(SOURCES)
    assert composition.drop(columns="source").sum().to_numpy() == pytest.approx(1.0)


def test_examples_say_what_was_chosen_and_why(reported):
    config, _ = reported
    examples = selected_examples(config)
    assert len(examples["picks"]) == sum(name != "full" for name in config.selectors) * 35
    bids = [pick for pick in examples["picks"] if examples["selectors"][pick[0]] == "BIDS"]
    assert [pick[1] for pick in bids] == list(range(35))
    assert all(pick[4].startswith(examples["tasks"][pick[3]]) for pick in bids)
    assert [text for text, _ in examples["budgets"]] == ["5 %", "10 %", "15 %"]


def test_audit_adds_up(reported):
    _, folder = reported
    audit = frame(folder, "table_audit")
    assert audit[["right", "wrong", "verbose", "off_task"]].sum(axis=1).to_numpy() == pytest.approx(100.0)


def test_cost_and_time_come_from_measured_files(reported, tmp_path):
    config, _ = reported
    file = tmp_path / "rank" / config.experiment / config.model.name / "bids" / "selection-0.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\tmax_rss\n1.2500\t0:00:01\t88.5\n", encoding="utf-8")
    cost = cost_table(config, tmp_path).frame.set_index("selector")
    assert cost.loc["bids", ["seconds", "memory_mib"]].tolist() == [1.25, 88.5]
    assert np.isnan(cost.loc["sum", "seconds"])
    assert cost.loc["bids", "mib"] == pytest.approx(240 * 42 * 4 / 2**20)
    assert times(config, tmp_path).to_dict("records") == [{"rule": "rank", "jobs": 1, "seconds": 1.25, "longest": 1.25, "memory_mib": 88.5}]


def test_fewer_than_three_runs_are_labelled_and_claim_nothing(tmp_path):
    config = make_experiment(tmp_path, seeds=(0,), **FEW)
    bootstrap = Bootstrap(read_evaluation(config), draws=500)
    from equipoise.reporting.score_tables import statistics_tables
    from equipoise.reporting.summary import summary

    statistics = {table.name: table.frame for table in statistics_tables(bootstrap, ["0.1"])}
    assert set(statistics["statistics_comparisons"]["interval"]) == {"items only"}
    assert any("no claim is made" in sentence for sentence in summary(config, statistics))
    assert not any("scored higher" in sentence for sentence in summary(config, statistics))


def test_a_sweep_without_the_baselines_is_reported(tmp_path):
    config = make_experiment(tmp_path, **FEW | {"selectors": ["bids", "round_robin"], "budgets": (0.1, 20)})
    report(config)
    folder = Path(Layout(config.results, config.experiment, config.model.name).report)
    names = {result.name for result in results(config)}
    assert "statistics_comparisons" not in names
    assert "statistics_bids" in names
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {PAGE, SCORES} | {
        file for result in results(config) for file in result.files
    }
    assert set(frame(folder, "table_2_selectors")["group"]) == {"Anchors", "10 %", "20 examples"}


def test_broken_inputs_are_named(tmp_path):
    config = make_experiment(tmp_path, **FEW)
    layout = Layout(config.results, config.experiment, config.model.name)
    run = Run("bids", 0, "0.1", 2, 1)
    samples = Path(layout.samples(run, "skills", 0))
    whole = samples.read_text(encoding="utf-8")

    samples.write_text(whole.replace('"score": 1.0', '"score": 0.0', 3), encoding="utf-8")
    with pytest.raises(UserError, match="the scores file says") as error:
        read_evaluation(config)
    assert str(samples) in str(error.value)

    samples.write_text("\n".join(whole.splitlines()[1:]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="other items"):
        read_evaluation(config)

    samples.unlink()
    with pytest.raises(UserError, match="missing"):
        read_evaluation(config)


def test_published_numbers_equal_the_shared_ones():
    folder = SHARED / "published"
    if not folder.exists():
        pytest.skip(f"{folder}: the shared published numbers are not here")
    for name, rows in (("scores.csv", published.published_scores()), ("thi_10percent.csv", published.published_counts())):
        with (folder / name).open(encoding="utf-8") as file:
            assert [{k: v for k, v in row.items() if k != "source"} for row in rows] == list(csv.DictReader(file))
        assert all(row["source"].startswith("arXiv 2501.12147, ") for row in rows)


def test_side_by_side_only_where_model_and_budget_match(tmp_path):
    from equipoise.reporting.score_tables import score_row

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


def test_compare_finds_what_changed_and_pairs_equal_items(tmp_path):
    first = make_experiment(tmp_path, name="first", seeds=(0, 1, 2), **FEW | {"items": 60})
    second = make_experiment(tmp_path, name="second", seeds=(0, 1, 2), advantage={"bids": 3.0}, **FEW | {"items": 60})
    table = compare(find_experiment("first", str(tmp_path)), find_experiment(str(tmp_path / "second")))
    rows = table.frame.set_index("selector")
    assert rows.loc["bids", "verdict"] == "higher"
    assert rows.loc["random", "difference"] == 0  # the same answers in both
    assert rows.loc["bids", "difference"] == pytest.approx(rows.loc["bids", [f"gain_{task}" for task in CAPABILITIES]].mean())
    assert "same items in both)" in table.caption
    assert compare(first, first).frame["difference"].abs().max() == 0
    with pytest.raises(UserError, match="first, second"):
        find_experiment("third", str(tmp_path))
    assert second.experiment in table.title


def test_compare_command_prints_the_table(tmp_path):
    from typer.testing import CliRunner

    from equipoise.commands.reporting import app

    make_experiment(tmp_path, name="first", **FEW)
    make_experiment(tmp_path, name="second", **FEW)
    done = CliRunner().invoke(app, ["compare", "first", "second", "--results", str(tmp_path), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("**second against first.**")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".md", ".tex", ".html"}


def test_answers_need_two_sides(tmp_path):
    config = make_experiment(tmp_path, **FEW | {"selectors": ["random"]})
    assert answer_table(config, Bootstrap(read_evaluation(config), draws=10)) is None


def test_every_selector_has_its_own_look_that_survives_colour_blindness():
    assert set(LOOKS) == {*selector_names(), "zero_shot"}
    compared = ["random", "task_max", "sum", "instance_max", "instance_max_normalized", "bids", "rds", "round_robin"]
    assert len({marker for marker, _ in map(tuple, (reversed(LOOKS[name]) for name in compared[1:]))}) == len(compared) - 1
    assert len({color for color, _ in LOOKS.values()}) == len(LOOKS)
    for matrix in (np.eye(3), DEUTERANOPIA, PROTANOPIA):
        for colors in ([LOOKS[name][0] for name in ("random", *ABLATION_AND_LESS)], SOURCE_COLORS[:4]):
            seen = [_lightness_and_hue(color, matrix) for color in colors]
            distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
            assert min(distances) > 14


ABLATION_AND_LESS = ("task_max", "instance_max", "instance_max_normalized", "bids")
# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
PROTANOPIA = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])


def _lightness_and_hue(color: str, matrix: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as seen through `matrix`."""
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_examples_json_cannot_close_its_script_element():
    from equipoise.reporting.page import _script_json

    text = _script_json({"prompt": "</script><!-- x"})
    assert "</" not in text
    assert "<!--" not in text
    assert json.loads(text.replace("<\\!", "<!")) == {"prompt": "</script><!-- x"}
