"""LaTeX takes the tables."""

from pathlib import Path

import pytest

from equipoise.reporting.render import to_latex
from equipoise.reporting.report import report
from equipoise.reporting.table import Column, Table
from helpers.example_table import COLUMNS, FRAME, TABLE
from helpers.latex import compiled, needs_latex
from helpers.reporting_experiment import make_experiment

pytestmark = needs_latex


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """LaTeX files of a whole report."""
    config = make_experiment(tmp_path_factory.mktemp("results"), name="whole")
    report(config)
    return sorted((Path(config.layout.report) / "tables").glob("*.tex"))


def test_latex_compiles_within_the_line(tmp_path):
    wide = Table("Many columns.", FRAME, (*COLUMNS, *COLUMNS[1:] * 6), group="group", competes="competes", name="wide", title="Wide")
    texts = FRAME.assign(
        prompt="find the value of 93 * 7 + 9 modulo 5 .\nanswer with one_word & 100 % <care> “数”\n" * 3, answer="{x: 1}\\n " * 9
    )
    columns = (Column("label", "Selector"), Column("prompt", "Prompt", text=True), Column("answer", "Answer", text=True))
    long = Table("Texts.", texts, columns, group="group", name="long", title="Long")
    assert max(compiled([to_latex(table) for table in (TABLE, wide, long)], tmp_path), default=0.0) < 5


def test_every_table_of_a_report_compiles(tables, tmp_path):
    assert len(tables) >= 12
    compiled([path.read_text(encoding="utf-8") for path in tables], tmp_path)
