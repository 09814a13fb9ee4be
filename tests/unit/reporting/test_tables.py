"""Tables: what stands out, and the four formats of one frame."""

import csv
import io
import re

import pandas as pd

from equipoise.reporting.escaping import latex_text
from equipoise.reporting.render import to_csv, to_html, to_markdown, write_table
from equipoise.reporting.table import Column, Table, cells, lean
from helpers.example_table import TABLE


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
    assert latex_text("é 数 −1") == r"e {[}U+6570{]} $-$1"


def test_a_number_that_is_too_small_for_its_digits_is_not_shown_as_nothing():
    frame = pd.DataFrame({"name": list("abcd"), "p": [0.00004, 0.00005, 0.0, 0.02], "gain": [0.00004, -0.00004, 0.0, 1.0]})
    (group,) = cells(Table("", frame, (Column("name", "Name"), Column("p", "p", 4), Column("gain", "Gain", 4, sign=True))))
    assert [row[1].text for row in group.rows] == ["< 0.0001", "0.0001", "0.0000", "0.0200"]
    assert [row[2].text for row in group.rows] == ["+0.0000", "−0.0000", "+0.0000", "+1.0000"]
    assert 'data-order="0"' in to_html(Table("", frame, (Column("p", "p", 4),), name="small"))


def test_columns_that_tell_no_rows_apart_are_said_in_the_caption():
    frame = pd.DataFrame(
        {"name": ["a", "b"], "epochs": [2, 2], "over": ["items", "runs"], "score": [5.0, 5.0], "seconds": [float("nan")] * 2}
    )
    columns = (
        Column("name", "Name"),
        Column("epochs", "Epochs", 0, context=True),
        Column("over", "Interval over", context=True),
        Column("score", "Score", 1),
        Column("seconds", "Seconds", 1),
    )
    table = lean(Table("Of two rows.", frame, columns))
    assert [column.key for column in table.columns] == ["name", "over", "score"], "a score that is the same in all rows stays"
    assert table.caption == "Of two rows. In all rows: Epochs 2."
    assert list(table.frame) == list(frame), "the CSV has every column"
    alone = Table("Of one row.", frame.iloc[:1], columns)
    assert lean(alone) == alone
