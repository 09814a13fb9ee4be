"""The page of accuracy and held-out loss together, with twice the columns: on a phone, on paper, by a screen reader."""

from pathlib import Path

import pytest

from equipoise.reporting.report import report
from helpers.browser import needs_axe, needs_browser, violations
from helpers.losses import LOSSES, with_losses
from helpers.reporting_experiment import make_experiment

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    made = make_experiment(folder, name="both", rows=120, per_task=2, extra=[], selectors=["random", "task_max", "bids"])
    config = with_losses(made, LOSSES)
    report(config)
    return Path(config.layout.report) / "index.html"


def test_a_phone_scrolls_the_tables_and_never_the_page(browser, seen):
    seen(390)
    assert browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]


def test_a_phone_tells_the_rows_of_both_measures_apart(browser, seen):
    seen(390)
    told = browser.execute_script(
        "return [...document.querySelectorAll('#statistics_comparisons tbody tr')].filter(row => row.checkVisibility())"
        ".map(row => [row.cells[0].textContent, row.cells[0].dataset.of])"
    )
    assert len({tuple(each) for each in told}) == len(told)
    assert ["BIDS", "10 %, loss"] in told
    assert ["BIDS", "10 %, accuracy"] in told


def test_on_paper_no_table_lies_over_another(browser, seen):
    seen(1030, medium="print")
    places = """
    return [...document.querySelectorAll('table.verdict')].map(each => each.getBoundingClientRect())
      .map(box => [box.left, box.right, box.top, box.bottom]);
    """
    boxes = browser.execute_script(places)
    assert len(boxes) > 1
    apart = [a[1] <= b[0] or a[3] <= b[2] for place, a in enumerate(boxes) for b in boxes[place + 1 :]]
    assert all(apart)
    assert max(right for _, right, *_ in boxes) <= 1030


@needs_axe
def test_axe_finds_no_violation_on_a_phone(browser, seen):
    seen(390)
    assert violations(browser) == []
