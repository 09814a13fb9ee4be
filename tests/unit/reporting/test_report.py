"""The whole report over an experiment's files, written in the formats of the stages."""

import csv
import html
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from equipoise.reporting import selected_examples as selected_examples_module
from equipoise.reporting.answers import chosen_items
from equipoise.reporting.catalogue import PAGE, SCORES, results, sections
from equipoise.reporting.facts import made, times
from equipoise.reporting.influence import Influence
from equipoise.reporting.material import Material
from equipoise.reporting.plot_selections import influence_along_ranking
from equipoise.reporting.report import report
from equipoise.reporting.scores import read_evaluation
from equipoise.reporting.selected_examples import selected_examples
from equipoise.reporting.side_by_side import unmatched_note
from equipoise.reporting.style import styled
from equipoise.reporting.summary import summary
from equipoise.selectors import SELECTORS, selector
from helpers.reporting_experiment import ADVANTAGE, CAPABILITIES, FEW, SOURCES, make_experiment


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A reported experiment: configuration and report folder."""
    config = make_experiment(tmp_path_factory.mktemp("results"), name="whole")
    report(config)
    return config, Path(config.layout.report)


def frame(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv", dtype={"budget": str})


def test_report_writes_exactly_what_the_catalogue_says(reported):
    config, folder = reported
    promised = {PAGE, SCORES, Path(config.layout.verdict).name} | {file for result in results(config) for file in result.files}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == promised


def test_page_shows_every_result_in_its_section_and_the_sections_in_the_catalogues_order(reported):
    config, folder = reported
    page = (folder / PAGE).read_text(encoding="utf-8")
    shown = dict(re.findall(r'<section id="(\w+)"[^>]*>(.*?)</section>', page, flags=re.DOTALL))
    held = {result.section.id for result in results(config)} | ({"paper"} if unmatched_note(config) else set())
    assert list(shown) == [*(section.id for section in sections() if section.id in held), "examples", "facts"]
    for result in results(config):
        place = {"table": f'<table class="report" id="{result.name}">', "figure": f'<figure id="figure-{result.name}">'}[result.kind]
        assert place in shown[result.section.id], result.name
        assert f"<h3>{result.title}</h3>" in html.unescape(shown[result.section.id]), result.name
        assert html.escape(result.caption) in shown[result.section.id].replace("&#39;", "&#x27;"), result.name


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


def test_page_says_what_model_written_programs_ran_in(reported):
    _, folder = reported
    facts = (folder / PAGE).read_text(encoding="utf-8").partition('<section id="facts"')[2]
    assert "<dt>programs ran in</dt><dd>bubblewrap (bubblewrap 0.8.0)</dd>" in facts


def test_page_says_when_from_which_commit_where_and_by_which_command_it_was_made(tmp_path, monkeypatch, undrawn):
    config = make_experiment(tmp_path, name="facts", **FEW)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795737600")
    monkeypatch.setattr("sys.argv", ["/usr/bin/equipoise", "report", "--config", "my.yaml"])
    monkeypatch.setattr("platform.release", lambda: "6.1-test")
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "refs" / "heads" / "main").write_text(f"{'0123456789abcdef' * 3}\n")
    monkeypatch.setattr("equipoise.reporting.facts.ROOT", tmp_path)
    report(config)
    page = (Path(config.layout.report) / PAGE).read_text(encoding="utf-8").partition('<section id="facts"')[2]
    said = {name: html.unescape(value) for name, value in re.findall(r"<dt>([\w ]+)</dt><dd>(.*?)</dd>", page.partition("</dl>")[0])}
    assert said["date"] == "2026-11-27 00:00 UTC"
    assert said["commit"] == "0123456789ab"
    assert re.fullmatch(r".+, \d+ cores, Linux 6\.1-test", said["machine"])
    assert said["command"] == "equipoise report --config my.yaml"
    assert said["again"] == f"snakemake --configfile {config.layout.config} --cores all --forcerun report"
    (tmp_path / ".git" / "HEAD").unlink()
    assert "is no checkout" in made(config)["commit"]
    monkeypatch.setattr("sys.argv", ["pytest"])
    assert made(config)["command"] == "made by a program"


def test_page_needs_no_network_and_is_small(reported):
    _, folder = reported
    page = (folder / PAGE).read_text(encoding="utf-8")
    assert len(page) < 8 * 2**20
    markup = page[: page.index('<script type="importmap"')]
    for reference in ('src="http', "src='http", "@import", 'href="http', "url(http"):
        assert reference not in markup


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("score_by_budget", ("Full data, 4 epochs", "95 % interval", "Random")),
        ("differences", ("p below 0.05 (Holm)", "not distinguishable, or no claim")),
        ("ranks", ("observed rank", "mean over draws", "95 % interval")),
        ("figure_2_thi_less", ("even spread",)),
        ("figure_3_thi_ablation", ("even spread",)),
        ("figure_5_normality", ("cut at ±5",)),
    ],
)
def test_figures_explain_their_marks_within_the_file(reported, name, words):
    _, folder = reported
    svg = (folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert [word for word in words if word not in svg] == []


def test_figures_that_are_no_selectors_bear_no_selectors_colour(reported):
    _, folder = reported
    for name in ("figure_1_aid_pool", "figure_5_normality"):
        svg = (folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert not any(known.color in svg for known in SELECTORS)


def test_every_task_along_the_ranking_has_a_scale_of_its_own():
    frame = pd.DataFrame({"selector": "bids", "task": ["gsm"] * 3 + ["form"] * 3, "picks": [1, 2, 3] * 2, "mean": [5, 6, 7, 0.1, 0.2, 0.3]})
    material = SimpleNamespace(influence=SimpleNamespace(along_ranking=lambda rows: frame), most_rows=3)
    with styled() as pyplot:
        first, second = influence_along_ranking(material).draw(pyplot).axes[:2]
        assert first.get_ylim()[0] > second.get_ylim()[1]


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
    (held,) = influence.matrix.taken(rows)
    normal = (held - influence.matrix.mean) / influence.matrix.std
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
    examples = selected_examples(Material(config))
    assert len(examples["picks"]) == sum(selector(name).chooses for name in config.selectors) * 35
    bids = [pick for pick in examples["picks"] if examples["selectors"][pick[0]] == ["bids", "BIDS"]]
    assert [pick[1] for pick in bids] == list(range(35))
    assert examples["budgets"] == [["0.05", "5 %", 11], ["0.1", "10 %", 23], ["0.15", "15 %", 35]]
    orders = {name: Influence(config).selected(name, 35).tolist() for name, _ in examples["selectors"]}
    for _, rank, row, place, _, _ in bids:
        source, name, text, left, strongest, taken = examples["rows"][row]
        assert (name, left) == (f"pool-{row:05d}", 0)
        assert examples["sources"][source] in SOURCES
        assert text.startswith(f"[user]\nwhat does dup tail print for input {row} ")
        assert "\n\n[assistant]\nit prints " in text
        assert [examples["tasks"][task] for task in strongest] == list(config.tasks)[:3]
        assert {examples["selectors"][other][0]: at for other, at in taken} == {
            other: order.index(row) for other, order in orders.items() if row in order
        }
        assert orders["bids"][rank] == row
        task, validation, asked, _ = examples["examples"][place]
        assert validation.startswith(examples["tasks"][task])
        assert f"validation question {validation.split('-')[1]} of {examples['tasks'][task]}" in asked


def test_the_texts_of_picks_are_bounded_and_every_selector_shows_equally_many(reported, monkeypatch):
    config, _ = reported
    monkeypatch.setattr(selected_examples_module, "CHARACTERS", 20)
    monkeypatch.setattr(selected_examples_module, "TEXT_BYTES", 1_500)
    examples = selected_examples(Material(config))
    choosing = len(examples["selectors"])
    assert 2 <= examples["shown"] < 35
    assert len(examples["picks"]) == examples["shown"] * choosing
    texts = [row[2] for row in examples["rows"].values()] + [example[2] for example in examples["examples"]]
    assert max(map(len, texts)) == 20
    assert sum(len(text.encode()) for text in texts) < 1_500 + 2 * 20 * choosing
    assert all(row[3] > 0 for row in examples["rows"].values())


def test_audit_adds_up(reported):
    _, folder = reported
    audit = frame(folder, "table_audit")
    assert audit[["right", "wrong", "verbose", "off_task"]].sum(axis=1).to_numpy() == pytest.approx(100.0)


def test_cost_and_time_come_from_measured_files(reported, tmp_path):
    config, _ = reported
    file = tmp_path / "rank" / config.experiment / config.model.name / "bids" / "selection-0.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\tmax_rss\n1.2500\t0:00:01\t88.5\n", encoding="utf-8")
    cost = Material(config, benchmarks=tmp_path).frame("table_cost").set_index("selector")
    assert cost.loc["bids", ["job_seconds", "memory_mib"]].tolist() == [1.25, 88.5]
    assert np.isnan(cost.loc["sum", "job_seconds"])
    layout = config.layout
    on_disk = sum(path.stat().st_size for path in Path(layout.matrix("influence")).rglob("*") if path.is_file())
    assert cost.loc["bids", "mib"] == on_disk / 2**20
    assert cost.loc["bids", "mib_fp64"] == 240 * 42 * 8 / 2**20
    assert times(config, tmp_path).to_dict("records") == [{"rule": "rank", "jobs": 1, "seconds": 1.25, "longest": 1.25, "memory_mib": 88.5}]


def test_summary_says_whether_it_is_bids_and_what_may_explain_it(reported):
    config, folder = reported
    frames = {path.stem: pd.read_csv(path, dtype={"budget": str}) for path in folder.glob("*/*.csv")}
    sentences = summary(config, frames)
    rivals = frames["statistics_bids"]
    against = next(sentence for sentence in sentences if sentence.startswith("Is it BIDS"))
    for name in rivals.loc[rivals["verdict"] == "not distinguishable", "baseline"]:
        assert selector(name).short_label in against
    (why,) = (sentence for sentence in sentences if sentence.startswith("What may explain it"))
    counts = pd.Series({"gsm": 6, "math": 4, "logic": 0, "form": 0})
    less = {"figure_2_thi_less": counts.rename_axis("task").rename("task_max").reset_index()}
    (why,) = (sentence for sentence in summary(config, frames | less) if sentence.startswith("What may explain it"))
    assert "of the rows of LESS, most serve gsm (60%), no row serves logic and form; evenness 0.49" in why
    assert "of the rows of BIDS" in why


def test_epochs_are_named_where_they_are_not_the_usual_ones(reported):
    config, folder = reported
    frames = {path.stem: pd.read_csv(path, dtype={"budget": str}) for path in folder.glob("*/*.csv")}
    unusual = frames["statistics_comparisons"].assign(epochs=4)  # e.g. a random baseline at 4 epochs and no other
    text = " ".join(summary(config, frames | {"statistics_comparisons": unusual}))
    assert "10 % (4 epochs)" in text
    assert "BIDS minus" not in text


def test_examples_json_cannot_close_its_script_element():
    from equipoise.reporting.escaping import script_json

    text = script_json({"prompt": "</script><!-- x"})
    assert "<" not in text
    assert json.loads(text) == {"prompt": "</script><!-- x"}
