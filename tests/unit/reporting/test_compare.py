"""Two experiments in one table: `equipoise compare`, and the second model of Table 4."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from equipoise.commands.reporting import app
from equipoise.config import Report
from equipoise.errors import UserError
from equipoise.experiment import score_files
from equipoise.layout import Layout
from equipoise.reporting.catalogue import results
from equipoise.reporting.compare import compare
from equipoise.reporting.experiments import find_experiment, second_model
from equipoise.reporting.report import report
from helpers.reporting_experiment import CAPABILITIES, FEW, make_experiment


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


def compared_on_a_terminal(monkeypatch, width: int, *arguments: str) -> str:
    """What `equipoise compare` prints on a terminal of `width` columns."""
    monkeypatch.setattr("equipoise.commands.panels.console", lambda: Console(width=width, highlight=False))
    done = CliRunner().invoke(app, ["compare", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_what_decides_is_shown_at_every_width(tmp_path, monkeypatch):
    make_experiment(tmp_path, name="first", seeds=(0, 1, 2), **FEW | {"items": 60})
    make_experiment(tmp_path, name="second", seeds=(0, 1, 2), advantage={"bids": 3.0}, **FEW | {"items": 60})
    both = ("first", "second", "--results", str(tmp_path))
    at_80 = compared_on_a_terminal(monkeypatch, 80, *both)
    head = next(line for line in at_80.splitlines() if "Selector" in line)
    assert [word for word in head.replace("┃", " ").split()][:5] == ["Selector", "Difference", "Verdict", "First", "Second"]
    row = next(line for line in at_80.splitlines() if "BIDS" in line and "higher" in line)
    assert "+" in row
    at_40 = compared_on_a_terminal(monkeypatch, 40, *both)
    table = [line for line in at_40.splitlines() if "│" in line or "┃" in line]
    assert all(len(line) <= 40 for line in table)
    assert {"Selector", "Difference", "Verdict"} <= set(table[0].replace("┃", " ").split())
    assert "…" not in at_40
    assert "Second" in at_40.partition("Columns left out at this width:")[2]


def test_experiments_of_equal_name_are_told_apart_by_their_folders(tmp_path, monkeypatch):
    for folder in ("here", "there"):
        make_experiment(tmp_path / folder, name="same", **FEW)
    monkeypatch.chdir(tmp_path)
    said = compared_on_a_terminal(monkeypatch, 200, "here/same", "there/same")
    assert said.startswith("there/same against here/same: shown to differ in none of 4 comparisons.\n")
    assert "there/same (second) minus here/same (first): macro averages" in said


def test_compare_command_prints_the_table(tmp_path):
    make_experiment(tmp_path, name="first", **FEW)
    make_experiment(tmp_path, name="second", **FEW)
    done = CliRunner().invoke(app, ["compare", "first", "second", "--results", str(tmp_path), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("second against first: shown to differ in none of 4 comparisons.\n")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".md", ".tex", ".html"}


def test_a_results_folder_is_read_where_it_was_copied_to(tmp_path):
    config = make_experiment(tmp_path / "there", name="first", **FEW)
    shutil.move(tmp_path / "there", tmp_path / "here")
    found = find_experiment(str(tmp_path / "here" / "first"))
    assert found == config.model_copy(update={"results": str(tmp_path / "here")})
    assert compare(found, found).frame["difference"].abs().max() == 0


def two_models(folder: Path, **first):
    """An experiment that names a second model, and that one."""
    config = make_experiment(folder, name="alpha", model="llama3-8b", **FEW | first)
    other = make_experiment(folder, name="beta", model="two", seed=9, **FEW)
    return config.model_copy(update={"report": Report(second_model="beta")}), other


def test_table_4_holds_both_models_in_every_format(tmp_path, undrawn):
    config, other = two_models(tmp_path, budgets=(0.1, 0.2))
    report(config)
    report(other)
    tables = [Path(Layout(c.results, c.experiment, c.model.name).report) / "tables" for c in (config, other)]
    ours, theirs = (pd.read_csv(folder / "table_4_model.csv", dtype={"budget": str}) for folder in tables)
    assert list(dict.fromkeys(ours["model"])) == ["llama3-8b", "two"]
    assert list(dict.fromkeys(theirs["model"])) == ["two"]
    shown = ours[ours["model"] == "two"].drop(columns="group").reset_index(drop=True)
    pd.testing.assert_frame_equal(shown, theirs.drop(columns="group"))
    groups = ["llama3-8b, 10 %", "llama3-8b, 20 %", "llama3-8b, Full pool", "two, 10 %", "two, Full pool"]
    assert list(dict.fromkeys(ours["group"])) == groups
    for ending in ("md", "tex", "html"):
        text = (tables[0] / f"table_4_model.{ending}").read_text(encoding="utf-8").replace("\\%", "%")
        assert all(group in text for group in groups), ending
        assert "Table 4: rows of the second model" in text
        assert "model llama3-8b and two." in text or ending == "html"  # which has no caption, and both models in its headings
    page = (tables[0].parent / "index.html").read_text(encoding="utf-8")
    assert "Model and budget" in page
    assert "two, Full pool" in page
    # the paper's numbers stand beside this model's, and the other's page says why it has none
    assert 'id="published"' in page
    assert "The paper has no numbers" not in page
    unmatched = (tables[1].parent / "index.html").read_text(encoding="utf-8")
    assert 'id="published"' not in unmatched
    assert "The paper has no numbers to set beside these: it reports llama3-8b and mistral-7b-v0.3" in unmatched
    assert [r.title for r in results(config) if r.name == "table_4_model"] == ["Table 4: rows of the second model"]


def test_a_second_model_that_cannot_be_shown_is_one_clear_line(tmp_path):
    config, other = two_models(tmp_path)
    assert second_model(config).model.name == "two"
    assert second_model(config.model_copy(update={"report": Report()})) is None
    make_experiment(tmp_path, name="gamma", model="llama3-8b", **FEW)
    fewer = make_experiment(tmp_path, name="delta", model="three", **FEW)
    path = Path(Layout(fewer.results, "delta", "three").config)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    del values["suites"]["instructions"]
    for task in values["tasks"].values():
        task["suite"] = None if task["suite"] == "instructions" else task["suite"]
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    Path(score_files(other)[3]).unlink()
    for name, words in (
        ("nowhere", "no experiment 'nowhere'"),
        ("gamma", "gamma is of llama3-8b as well"),
        ("delta", "delta evaluates code, gsm"),
        ("beta", f"{score_files(other)[3]} is missing"),
    ):
        with pytest.raises(UserError, match=r"^report\.second_model: ") as error:
            second_model(config.model_copy(update={"report": Report(second_model=name)}))
        assert words in str(error.value)
        assert "\n" not in str(error.value)
