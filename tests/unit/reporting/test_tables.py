"""Tables: what stands out, and the four formats of one frame."""

import csv
import io
import re
import shutil
import subprocess

import pandas as pd
import pytest

from equipoise.reporting.render import latex_text, to_csv, to_html, to_latex, to_markdown, write_table
from equipoise.reporting.table import Column, Table, cells

FRAME = pd.DataFrame(
    {
        "group": ["5 %", "5 %", "5 %", "5 %", "10 %", "10 %"],
        "label": ["Random", "LESS", "BIDS & co_1", "Oracle", "Random", "BIDS & co_1"],
        "gsm": [41.04, 42.51, 42.49, 60.0, 40.0, float("nan")],
        "gsm_sd": [0.5, float("nan"), 1.25, 0.1, 0.2, float("nan")],
        "gain": [0.0, -1.0, 2.0, 3.0, -0.04, 1.0],
        "competes": [True, True, True, False, True, True],
        "secret": [1 / 3] * 6,
    }
)
COLUMNS = (Column("label", "Selector"), Column("gsm", "gsm", 1, "gsm_sd", best=True), Column("gain", "Gain %", 1, sign=True))
TABLE = Table("A < B & C at 5 %.", FRAME, COLUMNS, group="group", competes="competes", name="scores_of_gsm", title="Scores_of gsm")


def test_best_and_second_are_marked_by_shown_value_within_a_group_and_anchors_never():
    groups = cells(TABLE)
    marks = {(group.heading, row[0].text): row[1].mark for group in groups for row in group.rows}
    assert marks["5 %", "LESS"] == marks["5 %", "BIDS & co_1"] == "best"
    assert marks["5 %", "Random"] == "second"
    assert marks["5 %", "Oracle"] == ""
    assert marks["10 %", "Random"] == ""


def test_signs_spreads_and_missing_values_are_shown():
    rows = cells(TABLE)[0].rows
    assert [row[2].text for row in rows] == ["+0.0", "−1.0", "+2.0", "+3.0"]
    assert [row[1].spread for row in rows] == ["0.5", "", "1.2", "0.1"]
    assert cells(TABLE)[1].rows[1][1].text == "–"


def test_csv_holds_the_whole_frame_in_full_precision():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert float(rows[0]["secret"]) == 1 / 3
    assert float(rows[1]["gsm"]) == 42.51
    assert rows[5]["gsm"] == ""


def test_markdown_marks_and_escapes():
    text = to_markdown(TABLE)
    assert "| LESS | **42.5** | −1.0 |" in text
    assert "| Random | <u>41.0</u> ± 0.5 | +0.0 |" in text
    assert "BIDS & co\\_1" in text
    widths = {line.count(" |") for line in text.splitlines() if line.startswith("| ")}
    assert widths == {3}


def test_html_marks_escapes_and_carries_sort_values():
    text = to_html(TABLE)
    assert '<td class="number" data-order="42.5"><strong>42.5</strong>' in text
    assert "BIDS &amp; co_1" in text
    assert 'scope="rowgroup"' in text


def test_all_formats_show_the_same_numbers(tmp_path):
    paths = write_table(TABLE, tmp_path)
    assert [path.suffix for path in paths] == [".csv", ".md", ".tex", ".html"]
    shown = [re.findall(r"\d\d\.\d", path.read_text(encoding="utf-8").replace("{42.5}", "42.5")) for path in paths[1:]]
    assert [number for number in shown[0] if number in ("42.5", "41.0", "60.0", "40.0")] == ["41.0", "42.5", "42.5", "60.0", "40.0"]
    for text in shown[1:]:
        assert [number for number in text if number in ("42.5", "41.0", "60.0", "40.0")].count("42.5") >= 2


def test_latex_escapes_every_special_character():
    assert latex_text("50 % of a_b & {c} ~ ^ \\ $ # < > |").count("\\") >= 10
    assert latex_text("é 数 −1") == r"e [U+6570] $-$1"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-recommended)")
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
