"""The page as it is read: taken away, narrow, on paper, by a screen reader."""

import base64
import html
import re
import unicodedata
from pathlib import Path

import pytest

from equipoise.reporting.report import report
from helpers.browser import complaints, needs_axe, needs_browser, violations, wait
from helpers.pdf_text import headings, page_count, paper, printed, words
from helpers.reporting_experiment import make_experiment

pytestmark = needs_browser
NOTE = "RDS −16.5 at 10 % (by spread of runs; −36.0 to +3.0)"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    selectors = ["random", "task_max", "sum", "bids", "round_robin", "full"]
    config = make_experiment(tmp_path_factory.mktemp("results"), name="used", items=24, rows=600, per_task=3, selectors=selectors)
    with pytest.MonkeyPatch.context() as patch:  # whatever the made scores show, the page has a note under its first table
        patch.setattr("equipoise.reporting.decision._notes", lambda baseline, *others: [NOTE] if baseline == "random" else [])
        report(config)
    return Path(config.layout.report) / "index.html"


def test_every_file_that_is_offered_comes_out_of_the_page_as_it_lies_beside_it(browser, page):
    script = """
    const [link, done] = [document.querySelector(`a[data-file="${arguments[0]}"]`), arguments[1]];
    const [made, press] = [URL.createObjectURL, HTMLAnchorElement.prototype.click];
    HTMLAnchorElement.prototype.click = function () {};
    URL.createObjectURL = (blob) => {
      URL.createObjectURL = made;
      HTMLAnchorElement.prototype.click = press;
      const reader = new FileReader();
      reader.onload = () => done(reader.result.split(',')[1]);
      reader.readAsDataURL(blob);
      return 'data:,';
    };
    link.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
    """
    offered = browser.execute_script(
        "return [...document.querySelectorAll('a[data-file]')].map(e => [e.dataset.file, e.getAttribute('href')])"
    )
    assert {path.rpartition(".")[2] for path, _ in offered} == {"csv", "md", "tex", "svg", "pdf"}
    beside = {str(path.relative_to(page.parent)) for path in page.parent.glob("*/*") if path.suffix not in (".html", ".png")}
    assert {path for path, _ in offered} == beside
    for path, address in offered:
        assert address == path, "without scripts it is a link to the file beside the page"
        assert base64.b64decode(browser.execute_async_script(script, path)) == (page.parent / path).read_bytes(), path


def test_a_table_is_copied_for_a_spreadsheet(browser):
    script = """
    const done = arguments[0];
    Object.defineProperty(navigator, 'clipboard', {configurable: true, value: {writeText: async (text) => done(text)}});
    document.querySelector('button[data-copy="table_2_selectors"]').click();
    """
    lines = [line.split("\t") for line in browser.execute_async_script(script).splitlines()]
    assert lines[0][:3] == ["Selector", "Budget", "Macro avg."]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines) == 1 + browser.execute_script("return document.querySelectorAll('#table_2_selectors tbody tr').length")


def test_an_address_opens_the_table_that_it_names(browser):
    link = "return document.querySelector('#table-statistics_bids .offers a[href^=\"#\"]').getAttribute('href')"
    assert browser.execute_script(link) == "#table-statistics_bids"
    state = "return document.getElementById('table-statistics_bids').open"
    browser.execute_script("location.hash = ''; document.getElementById('table-statistics_bids').open = false")  # another test may open it
    browser.execute_script("location.hash = '#table-statistics_bids'")
    wait(browser, lambda: browser.execute_script(state))


def test_the_baseline_is_chosen_and_its_table_alone_is_shown(browser):
    shown = "return [...document.querySelectorAll('#verdicts [data-baseline]')].filter(e => e.offsetParent).map(e => e.dataset.baseline)"
    assert browser.execute_script(shown) == ["random"]
    choose = "const b = document.getElementById('baseline'); b.value = arguments[0]; b.dispatchEvent(new Event('change', {bubbles: true}))"
    browser.execute_script(choose, "bids")
    assert browser.execute_script(shown) == ["bids"]
    browser.execute_script(choose, "random")


def test_the_first_screen_holds_the_answer_the_table_and_the_figure(browser, seen):
    seen(1440)
    places = """
    scrollTo({top: 0, behavior: 'instant'});
    return ['.answer', '[data-baseline="random"] table', '#figure-score_by_budget .picture']
      .map(each => document.querySelector(each).getBoundingClientRect()).map(r => [r.top, r.bottom, r.left, r.right]);
    """
    wait(browser, lambda: browser.execute_script(places)[0][0] > 0)  # a scrolling that an earlier test began may go on
    _, table, figure = browser.execute_script(places)
    assert max(table[1], figure[1]) <= 900
    assert table[3] <= figure[2], "side by side"


@pytest.mark.parametrize(("width", "medium"), [(1440, "screen"), (390, "screen"), (1030, "print")])
def test_why_a_large_difference_is_not_claimed_stands_under_the_table(browser, seen, width, medium):
    seen(width, medium=medium)
    place = """
    const note = document.querySelector('[data-baseline="random"] .notes');
    const box = note.getBoundingClientRect();
    return [note.innerText, note.checkVisibility(), box.left >= 0 && box.right <= innerWidth + 1 && box.height > 10];
    """
    text, *seen_whole = browser.execute_script(place)
    assert NOTE in text.replace("\u202f", " ")
    assert seen_whole == [True, True]


def test_nothing_that_decides_lies_outside_the_page_and_phones_keep_the_selector_in_sight(browser, seen):
    outside = """
    document.querySelectorAll('details').forEach(each => { each.open = true; });
    return [...document.querySelectorAll('table.report:not(#example-table), table.verdict')].flatMap(table => {
      const frame = table.closest('.wide');
      if (!frame.offsetParent) return [];
      const right = frame.getBoundingClientRect().right + 1;
      return [...table.tHead.querySelectorAll('th')].filter(head => head.getBoundingClientRect().right > right)
        .map(head => `${table.id}: ${head.textContent.trim()}`);
    });
    """
    seen(1216)
    found = browser.execute_script(outside)
    assert found == [], found
    seen(390)
    first = """
    const frame = document.querySelector('#table-table_2_selectors .wide');
    frame.scrollLeft = 10000;
    const left = [...document.querySelectorAll('#table_2_selectors tbody tr')].map(row => row.cells[0].getBoundingClientRect().left);
    const scrolled = frame.scrollLeft;
    frame.scrollLeft = 0;
    const heads = [...document.querySelectorAll('#table_2_selectors thead th')];
    const named = heads.map(head => head.textContent.trim()).slice(0, 3);
    return [scrolled, frame.getBoundingClientRect().left, Math.min(...left), Math.max(...left), named];
    """
    scrolled, frame, least, most, heads = browser.execute_script(first)
    assert scrolled > 0
    assert least == most == pytest.approx(frame, abs=1)
    assert heads == ["Selector", "Budget", "Macro avg."]
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390


def test_a_phone_shows_difference_and_verdict_beside_the_frozen_selector(browser, seen):
    seen(390)
    script = """
    document.getElementById(`table-${arguments[0]}`).open = true;
    const [table, frame] = [document.getElementById(arguments[0]), document.querySelector(`#table-${arguments[0]} .wide`)];
    const right = frame.getBoundingClientRect().right + 1;
    const heads = [...table.tHead.querySelectorAll('th')];
    const inside = heads.filter(head => head.getBoundingClientRect().right <= right).map(head => head.textContent.trim());
    frame.scrollLeft = 10000;
    const kept = table.tBodies[0].rows[1].cells[0].getBoundingClientRect().left - frame.getBoundingClientRect().left;
    frame.scrollLeft = 0;
    return [inside.slice(0, 3), kept];
    """
    for name in ("statistics_comparisons", "statistics_bids"):
        heads, kept = browser.execute_script(script, name)
        assert heads == ["Selector", "Difference", "Verdict"]
        assert kept == pytest.approx(0, abs=1)


def test_a_phone_shows_one_row_of_a_selector_at_a_budget_and_says_what_it_is_about(browser, seen):
    script = """
    document.getElementById('table-statistics_comparisons').open = true;
    return [...document.querySelectorAll('#statistics_comparisons tbody tr')].filter(row => row.checkVisibility())
      .map(row => [row.cells[0].textContent, row.cells[0].dataset.of, row.dataset.baseline]);
    """
    choose = """
    const field = document.querySelector('#table-statistics_comparisons select');
    field.value = arguments[0];
    field.dispatchEvent(new Event('change', {bubbles: true}));
    return field.checkVisibility();
    """
    seen(1280)
    everything = browser.execute_script(script)
    assert {baseline for *_, baseline in everything} == {"Random", "LESS"}
    assert browser.execute_script(choose, "Random") is False, "a wide window has room for all"
    seen(390)
    for baseline in ("LESS", "Random"):
        assert browser.execute_script(choose, baseline) is True
        rows = browser.execute_script(script)
        assert rows == [row for row in everything if row[2] == baseline]
        assert len({tuple(row[:2]) for row in rows}) == len(rows)
        assert {of for _, of, _ in rows} == {"5 %", "10 %", "15 %"}
    told = browser.execute_script("return [...document.querySelectorAll('#statistics_bids tbody tr')].map(row => row.cells[0].dataset.of)")
    assert len(set(told)) == len(told), "one selector against many is told apart by them"
    assert "10 %, against Sum" in {text.split(", epochs")[0] for text in told}
    under = "return getComputedStyle(document.querySelector('#statistics_bids tbody td'), '::after').content"
    assert told[0] in browser.execute_script(under)


def test_a_phone_folds_a_long_caption_until_it_is_asked_for(browser, seen):
    lines = """
    document.querySelectorAll('details').forEach(each => { each.open = true; });
    return [...document.querySelectorAll('.caption, figcaption')].filter(each => each.checkVisibility()).map(each =>
      [each.textContent, each.clientHeight / parseFloat(getComputedStyle(each).lineHeight), each.scrollHeight - each.clientHeight]);
    """
    more = "return [...document.querySelectorAll('.more')].filter(each => each.checkVisibility()).length"
    seen(390)
    assert [(text, tall) for text, tall, _ in browser.execute_script(lines) if tall > 4.9] == []
    assert browser.execute_script(more) > 10
    press = "const b = document.querySelector('#table-statistics_comparisons .more'); b.click(); return b.textContent"
    hidden = "const p = document.querySelector('#table-statistics_comparisons .caption'); return p.scrollHeight - p.clientHeight"
    assert browser.execute_script(hidden) > 100
    assert browser.execute_script(press) == "less"
    assert browser.execute_script(hidden) == 0
    assert browser.execute_script(press) == "more"
    seen(1280)
    assert browser.execute_script(more) == 0
    assert [text for text, _, cut in browser.execute_script(lines) if cut > 2] == []


def test_paper_cuts_nothing_off_and_is_white(browser, seen):
    seen(1030, dark=True, medium="print")  # A4 landscape within its margins
    state = """
    const cut = [...document.querySelectorAll('.wide, .picture')].filter(e => e.scrollWidth > e.clientWidth + 1)
      .map(e => `${(e.querySelector('table, svg') || e).id} ${e.scrollWidth}`);
    const hidden = [...document.querySelectorAll('[data-baseline]')].filter(e => !e.offsetParent).length;
    return [cut, hidden, getComputedStyle(document.body).backgroundColor];
    """
    assert browser.execute_script(state) == [[], 0, "rgb(255, 255, 255)"]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_plain_print_holds_what_is_folded_on_the_screen(page, tmp_path, scripts):
    source = page.read_text(encoding="utf-8")
    if not scripts:
        source = re.sub(r"<script.*?</script>", "", source, flags=re.DOTALL)
        page = tmp_path / "without.html"
        page.write_text(source, encoding="utf-8")
    said = printed(page, tmp_path)
    folded = re.findall(r'<details class="table" id="table-([a-z_0-9]+)" >', source)
    assert "statistics_bids" in folded
    for name in folded:
        caption = re.search(rf'id="table-{name}".*?<p class="caption">(.*?)</p>', source, re.DOTALL)[1]
        letters = _letters(html.unescape(caption))
        assert letters[:60] in _letters(said), name
        assert letters[-60:] in _letters(said), name
    assert "profile:noisy" in said, "the resolved configuration"
    if scripts:
        assert "Picks1to50of89inthispage" in said


def test_paper_holds_fifty_picks_and_says_which_they_are(browser):
    said = words(paper(browser))
    assert "Picks1to50of89inthispagewithselectorBIDS,budget15%(89rows);allarein" in said
    assert "/selection/bids/selection-0/budget-0.15.jsonl" in said
    assert said.count("whatdoesduptailprint") == 51, "fifty rows, and the pick that is open"
    assert [word for word in ("Exporttheserows", "Search", "Picks1to10") if word in said] == []
    assert browser.execute_script("return document.querySelectorAll('#example-table .opener').length") == 10, "the screen is as before"


def test_paper_holds_the_configuration_on_two_pages_and_no_heading_without_what_it_heads(browser):
    pdf = paper(browser)
    found = headings(pdf)
    place = {title: page for title, page, _ in found}
    assert page_count(pdf) - place["Configuration"] <= 2
    heads = """
    return [...document.querySelectorAll('main > section')].filter(each => each.querySelector(':scope > .terms + :is(.table, figure)'))
      .map(each => [each.querySelector('h2').textContent, each.querySelector('h3').textContent]);
    """
    pairs = browser.execute_script(heads)
    assert len(pairs) > 3
    assert [pair for pair in pairs if place[pair[0]] != place[pair[1]]] == []
    titles = set(browser.execute_script("return [...document.querySelectorAll('.table h3, figure h3')].map(each => each.textContent)"))
    margin, table, line = 34, 100, 25  # points: of the sheet; of a caption, a head and some rows; of what follows any other heading
    assert [each for each in found if each[2] < margin + (table if each[0] in titles else line)] == []


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", unicodedata.normalize("NFKC", text).lower())


@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False)])
def test_axe_finds_no_violation(browser, seen, width, dark):
    seen(width, dark)
    assert violations(browser) == []
    assert complaints(browser) == []
