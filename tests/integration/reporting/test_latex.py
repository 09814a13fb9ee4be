"""LaTeX takes the tables."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from equipoise.reporting.render import to_latex
from equipoise.reporting.report import report
from equipoise.reporting.table import Column, Table
from helpers.example_table import COLUMNS, FRAME, TABLE
from helpers.reporting_experiment import make_experiment

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-recommended)")


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
    body = "\n".join(to_latex(table) for table in (TABLE, wide, long))
    packages = "\\usepackage[utf8]{inputenc}\\usepackage{booktabs,graphicx,longtable}"
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    wide_lines = [
        float(size) for size in re.findall(r"Overfull \\hbox \(([\d.]+)pt", (tmp_path / "tables.log").read_text(errors="replace"))
    ]
    assert max(wide_lines, default=0.0) < 5


def test_every_table_of_a_report_compiles(tables, tmp_path):
    body = "\n\\clearpage\n".join(path.read_text(encoding="utf-8") for path in tables)
    packages = "\\usepackage[utf8]{inputenc}\\usepackage{booktabs,graphicx,longtable}"
    text = f"\\documentclass{{article}}{packages}\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "report.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    assert len(tables) >= 12
    assert done.returncode == 0, done.stdout[-2000:]
