"""Whatever strangers write, the report shows it: random Unicode through every free name and text into page, SVG and LaTeX."""

import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from equipoise.config_file import read_config
from equipoise.reporting.escaping import shown
from equipoise.reporting.material import Material
from equipoise.reporting.report import report
from helpers.browser import complaints, needs_browser, opened
from helpers.latex import compiled, needs_latex
from helpers.reporting_experiment import FEW, SOURCES, make_experiment

MARKUP = [
    *"%#\"'`\t\n\r",
    "<!--",
    "-->",
    "]]>",
    "</script>",
    "</td>",
    "<b onclick=x>",
    "&amp;",
    "&#0;",
    "<?xml",
    "\\input{x}",
    "$\\frac{",
    "$$",
]
MARKUP += ["^^M", "\\\\[1", "| a |", "**", "[x](y)", "~~", "=cmd()", "+1", "@a", "\r\n", "{{ 7*7 }}", "{% raw %}", "${x}", "%s", "{0}"]
STEERING = [
    *map(chr, range(32)),
    *"\x7f\x85\x9b\u200b\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffe\uffff\ufdd0",
    "\x1b[2J",
]
PLANES = ((0xA1, 0x2FF), (0x370, 0x5FF), (0x600, 0x1FFF), (0x2000, 0x2FFF), (0x3040, 0x9FFF), (0xE000, 0xFFFD), (0x1F300, 0x1FAFF))
PLANES += ((0x20000, 0x2FFFF),)
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 8))]


def dresser(seed: int):
    """A function that puts random characters behind a text, always the same behind the same text."""

    def dressed(text: str) -> str:
        generator = random.Random(f"{seed}:{text}")
        pieces = [generator.choice((MARKUP, STEERING)) for _ in range(3)]
        chosen = [generator.choice(piece) for piece in pieces]
        chosen += [chr(generator.randint(*generator.choice(PLANES))) for _ in range(4)]
        generator.shuffle(chosen)
        return text + " " + "".join(chosen)

    return dressed


@pytest.fixture(scope="module", params=SEEDS)
def reported(request, tmp_path_factory):
    """A configuration, the report folder of its experiment in which all names and texts are dressed, and what dressed them."""
    dressed = dresser(request.param)
    config = make_experiment(tmp_path_factory.mktemp("results"), name="any", **FEW, dressed=dressed)
    report(config)
    return read_config(config.layout.config), Path(config.layout.report), dressed


def bare(text: str) -> str:
    """A text without white space, which SVG and HTML may lay out anew."""
    return re.sub(r"\s+", "", text)


@needs_browser
def test_the_page_shows_the_same_characters_without_a_complaint(reported):
    config, folder, dressed = reported
    with opened(folder / "index.html") as browser:
        assert complaints(browser) == []
        data = browser.execute_script("return JSON.parse(document.getElementById('example-data').textContent)")
        prompts = {row: dressed(f"what does dup tail print for input {row} & {row % 7} <b>?") for row in map(int, data["rows"])}
        for row, (source, name, text, left, *_) in data["rows"].items():
            assert name == shown(dressed(f"pool-{int(row):05d}"))
            assert data["sources"][source] in {shown(dressed(known)) for known in SOURCES}
            asked, answer = text.removeprefix("[user]\n").rsplit("\n\n[assistant]\n", 1)
            assert (asked, answer, left) == (shown(prompts[int(row)]), shown(dressed(f"it prints {int(row) % 13}_{int(row) % 5} 100 %")), 0)
        opener = """
        for (const button of document.querySelectorAll('#example-table .opener[aria-expanded="false"]')) button.click();
        return [...document.querySelectorAll('.whole')].map(e => [...e.querySelectorAll('pre')].map(p => p.textContent));
        """
        pairs = browser.execute_script(opener)
        assert len(pairs) == data["budgets"][-1][2] > 4, "all picks of BIDS"
        texts, examples = {row[2] for row in data["rows"].values()}, {example[2] for example in data["examples"]}
        assert all(record in texts and example in examples for record, example in pairs)
        assert {name for _, name, *_ in data["examples"]} <= {shown(dressed(f"{task}-{n}")) for task in config.tasks for n in range(2)}
        options = browser.execute_script("return [...document.getElementById('filter-source').options].slice(1).map(o => o.textContent)")
        assert options == data["sources"]
        cells = browser.execute_script("return [...document.querySelectorAll('#tables_5_to_7_answers td.text')].map(e => e.textContent)")
        frame = Material(config, draws=50).frame("tables_5_to_7_answers")
        columns = ["prompt", "target", "answer_a", "answer_b"]
        assert sorted(cells) == sorted(shown(text) for column in columns for text in frame[column])
        capabilities = browser.execute_script(
            "return [...document.querySelectorAll('#tables_5_to_7_answers tbody tr')].map(r => r.cells[1].textContent)"
        )
        assert capabilities == [shown(text) for text in frame["capability"]]
        markup = "return [document.querySelectorAll('[onclick]').length, document.querySelectorAll('main script').length]"
        assert browser.execute_script(markup) == [0, 0]
        assert complaints(browser) == []


def test_figures_hold_the_same_characters(reported):
    _, folder, dressed = reported
    paths = sorted((folder / "figures").glob("*.svg"))
    written = {path.stem: bare("".join(ElementTree.parse(path).getroot().itertext())) for path in paths}
    for source in SOURCES:
        lines = [bare(line) for line in shown(dressed(source)).splitlines()]
        assert all(line in written["sources"] for line in lines), source


@needs_latex
def test_every_table_compiles(reported, tmp_path):
    _, folder, _ = reported
    tables = [path.read_text(encoding="utf-8") for path in sorted((folder / "tables").glob("*.tex"))]
    assert len(tables) > 8
    compiled(tables, tmp_path)


def test_csv_holds_the_texts_themselves(reported):
    config, folder, _ = reported
    frame = Material(config, draws=50).frame("tables_5_to_7_answers")
    written = pd.read_csv(folder / "tables" / "tables_5_to_7_answers.csv", keep_default_na=False)
    for ours, theirs in zip(written["prompt"], frame["prompt"], strict=True):
        plain = theirs.replace("\r\n", "\n").replace("\r", "\n")
        assert ours in (plain, f"'{plain}")
