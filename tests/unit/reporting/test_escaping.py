"""Names and texts of strangers are data in every language of the report."""

import csv
import html
import io
import json
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.reporting.escaping import csv_text, html_text, latex_text, markdown_text, script_json, shown

MARKUP = st.sampled_from(
    [*"<>&\"'`*_|\\[]{}$%#~^=+-@\t\r\n", "<!--", "]]>", "</script>", "\\input{x}", "=cmd()", "\u202e", "\x00", "\x1b[2J"]
)
TEXTS = st.lists(st.characters(exclude_categories=()) | MARKUP, max_size=20).map("".join)


@given(TEXTS)
def test_what_is_shown_can_be_written_and_steers_nothing(text):
    clean = shown(text)
    clean.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]", clean)
    assert shown(clean) == clean
    kept = [c for c in text.replace("\r\n", "\n") if shown(c) == c]
    assert [c for c in re.sub(r"\[U\+[0-9A-F]{4,5}\]", "", clean)] == [c for c in re.sub(r"\[U\+[0-9A-F]{4,5}\]", "", "".join(kept))]


@given(TEXTS)
def test_html_gives_the_same_characters_and_no_markup(text):
    assert not set(html_text(text)) & set("<>\"'")
    assert html.unescape(html_text(text)) == shown(text)


@given(TEXTS)
def test_a_script_holds_no_tag_and_gives_the_same_characters(text):
    written = script_json({"prompt": [text]})
    assert "<" not in written
    assert json.loads(written) == {"prompt": [shown(text)]}


@given(TEXTS)
def test_a_cell_of_markdown_stays_one_cell(text):
    written = markdown_text(text)
    assert "\n" not in written
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_|\[\]]", written)
    assert not re.search(r"(?<!\\)(?:\\\\)*<(?!br>)", written)


@given(TEXTS)
def test_latex_gets_nothing_but_ascii_and_commands_of_ours(text):
    written = latex_text(text)
    assert written.isascii()
    symbols = "textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textasciigrave|pm|times|geq|leq"
    own = rf"\\({symbols}|newline|allowbreak)(?![a-z])"
    assert not re.search(r"\\[a-zA-Z]", re.sub(own, "", written))


@given(st.lists(TEXTS.map(lambda text: text.encode(errors="ignore").decode()), min_size=1, max_size=3))  # no frame holds half a character
def test_no_cell_of_a_csv_is_a_formula_and_nothing_else_changes(texts):
    written = csv_text(pd.DataFrame({"text": texts, "number": [-1.5] * len(texts)}))
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [row["number"] for row in rows] == ["-1.5"] * len(texts)
    for row, text in zip(rows, texts, strict=True):
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        assert not re.match(r"[=@\t\n]|[+-](?![\d.,]*$)", row["text"])
        assert row["text"] in (plain, f"'{plain}")


@pytest.mark.parametrize("number", ["-1.5", "+3", "-1,200"])
def test_a_number_that_is_a_text_stays_as_it_is(number):
    assert csv_text(pd.DataFrame({"text": [number]})).splitlines()[1].strip('"') == number
