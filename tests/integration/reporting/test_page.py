"""The page in a real browser: it opens from disk without network, without a console error; sorting, filters, address and keyboard work."""

import json
from pathlib import Path

import pytest

from equipoise.reporting.report import report
from helpers.browser import complaints, needs_browser, wait
from helpers.reporting_experiment import make_experiment

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    config = make_experiment(tmp_path_factory.mktemp("results"), name="seen", items=24)
    report(config)
    return Path(config.layout.report) / "index.html"


def rows(driver, table: str) -> list[list[str]]:
    script = """return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map(r => [...r.cells].map(c => c.textContent.trim()))"""
    return driver.execute_script(script, table)


def test_opens_without_console_error_and_without_any_request(browser):
    assert complaints(browser) == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith(("blob:", "data:"))] == []


def clicked(driver, element) -> bool:
    """Whether a click reaches an element: what is still being laid out may lie over it."""
    from selenium.common.exceptions import ElementClickInterceptedException

    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    try:
        element.click()
    except ElementClickInterceptedException:
        return False
    return True


def test_tables_sort_by_value_in_both_directions(browser):
    from selenium.webdriver.common.by import By

    head = browser.find_element(By.XPATH, "//table[@id='table_2_selectors']//th[contains(., 'Macro avg.')]")
    seen = []
    for direction in ("ascending", "descending"):
        wait(browser, lambda: clicked(browser, head.find_element(By.CSS_SELECTOR, ".dt-column-order")))
        wait(browser, lambda direction=direction: head.get_attribute("aria-sort") == direction)
        seen.append([float(row[2].split()[0]) for row in rows(browser, "table_2_selectors")])
    assert seen[0] == sorted(seen[0])
    assert seen[1] == sorted(seen[1], reverse=True)


def total(driver) -> int:
    """Rows that the explorer's filters leave."""
    from selenium.webdriver.common.by import By

    text = driver.find_element(By.CSS_SELECTOR, "#example-table_info, .dt-info").text
    return int(text.split(" of ")[1].split()[0].replace(",", ""))


def choose(driver, name: str, text: str) -> None:
    """Chooses one of a filter's texts; at once, where a press on an option takes effect some time later."""
    script = """
    const field = document.getElementById(`filter-${arguments[0]}`);
    field.selectedIndex = [...field.options].findIndex(option => option.text === arguments[1]);
    field.dispatchEvent(new Event('input', {bubbles: true}));
    return field.value !== '' || arguments[1].startsWith('a');
    """
    assert driver.execute_script(script, name, text), text


def slide(driver, place: int) -> None:
    """Moves the budget slider to one of its places."""
    script = """
    const field = document.getElementById('filter-budget');
    field.value = arguments[0];
    field.dispatchEvent(new Event('input', {bubbles: true}));
    """
    driver.execute_script(script, place)


def test_picks_start_with_bids_and_are_filtered_by_task_validation_example_and_budget(browser):
    assert total(browser) == 35
    assert {row[0] for row in picks(browser)} == {"BIDS"}
    slide(browser, 0)
    assert total(browser) == 11
    slide(browser, 2)
    task = picks(browser)[0][2]
    choose(browser, "task", task)
    assert {row[2] for row in picks(browser)} == {task}
    validation = picks(browser)[0][3]
    choose(browser, "validation", validation)
    assert {row[3] for row in picks(browser)} == {validation}
    choose(browser, "task", "all")
    choose(browser, "validation", "all")
    choose(browser, "selector", "all")
    everything = total(browser)
    choose(browser, "taken", "Round robin")
    assert 0 < total(browser) < everything
    choose(browser, "taken", "any or none")
    choose(browser, "selector", "BIDS")


def picks(driver) -> list[list[str]]:
    return [row for row in rows(driver, "example-table") if len(row) > 1]


def test_a_pick_stands_beside_the_validation_example_that_asked_for_it(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    shown = picks(browser)
    box = browser.find_element(By.CSS_SELECTOR, "#examples input[type=search]")
    box.send_keys(f'"{shown[2][4].splitlines()[1]}"')
    wait(browser, lambda: len(picks(browser)) == 1)
    assert picks(browser)[0] == shown[2]
    button = browser.find_element(By.CSS_SELECTOR, "#example-table tbody td:first-child button")
    assert button.get_attribute("aria-expanded") == "true"
    for key, expanded in ((Keys.SPACE, "false"), (Keys.ENTER, "true"), (Keys.ENTER, "false"), (Keys.SPACE, "true")):
        button.send_keys(key)
        wait(browser, lambda expanded=expanded: button.get_attribute("aria-expanded") == expanded)
        assert len(browser.find_elements(By.CSS_SELECTOR, ".whole")) == (expanded == "true")
    whole = browser.find_element(By.CSS_SELECTOR, ".whole").text
    assert f"BIDS, pick {shown[2][1]}:" in whole
    assert f"asked for by validation example {shown[2][3]}" in whole
    assert "also taken at the largest budget by" in whole
    record, example = [side.text for side in browser.find_elements(By.CSS_SELECTOR, ".whole pre")]
    assert "<b>" in record, "text of an example is shown as text, never as markup"
    assert f"validation question {shown[2][3].split('-')[1]} of {shown[2][2]} & <i>?" in example
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(Keys.BACKSPACE)
    wait(browser, lambda: total(browser) == 35)


def test_one_pick_is_open_however_the_pages_are_turned(browser):
    from selenium.webdriver.common.by import By

    state = """return [document.querySelectorAll('#example-table .whole').length,
      [...document.querySelectorAll('#example-table .opener')].map(each => each.getAttribute('aria-expanded') === 'true')]"""
    first = [True] + [False] * 9
    browser.get(browser.current_url.partition("#")[0])  # other tests open picks by hand
    for side in ("next", "previous", "next", "previous"):
        browser.execute_script("arguments[0].click()", browser.find_element(By.CSS_SELECTOR, f"#examples .dt-paging .{side}"))
        assert browser.execute_script(state) == [1, first], side
    slide(browser, 2)
    assert browser.execute_script(state) == [1, first]


def test_filters_stand_in_the_address_and_come_back_from_it(browser, page):
    choose(browser, "selector", "Round robin")
    slide(browser, 1)
    address = browser.current_url
    assert address.endswith("#examples?selector=round_robin&budget=0.1")
    browser.execute_script("location.hash = '#examples?selector=bids&task=gsm&budget=0.15'")
    wait(browser, lambda: {row[0] for row in picks(browser)} == {"BIDS"})
    assert {row[2] for row in picks(browser)} == {"gsm"}
    browser.execute_script("location.hash = arguments[0]", address.split("#")[1])
    wait(browser, lambda: total(browser) == 23)
    assert {row[0] for row in picks(browser)} == {"Round robin"}
    browser.execute_script("location.hash = '#examples?selector=bids&budget=0.15'")
    wait(browser, lambda: total(browser) == 35)


def test_filtered_rows_are_exported_as_jsonl(browser):
    script = """
    const done = arguments[0];
    const made = URL.createObjectURL;
    URL.createObjectURL = (blob) => { URL.createObjectURL = made; blob.text().then(done); return 'data:,'; };
    HTMLAnchorElement.prototype.click = function () {};
    document.getElementById('export').click();
    """
    slide(browser, 0)
    lines = [json.loads(line) for line in browser.execute_async_script(script).splitlines()]
    slide(browser, 2)
    assert [line["rank"] for line in lines] == list(range(1, 12))
    assert {line["selector"] for line in lines} == {"bids"}
    for line in lines:
        assert line["id"] == f"pool-{line['row']:05d}"
        assert line["validation_id"].startswith(line["task"])
        assert line["record"].startswith("[user]\n")
        assert "validation question" in line["validation_example"]


def test_theme_switches_and_figures_follow(browser):
    from selenium.webdriver.common.by import By

    button = browser.find_element(By.ID, "theme")
    script = "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.picture text')).fill]"
    before, (label, pressed) = browser.execute_script(script), (button.accessible_name, button.get_attribute("aria-pressed"))
    button.click()
    assert button.accessible_name == label  # the state alone tells which theme it is: a changing name would say it twice
    assert {pressed, button.get_attribute("aria-pressed")} == {"false", "true"}
    after = browser.execute_script(script)
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert after[0] != after[1]
    button.click()
    assert browser.execute_script(script) == before


def test_page_is_usable_by_keyboard_and_screen_reader(browser):
    problems = browser.execute_script(
        """
        const unnamed = [...document.querySelectorAll('button, select, input')].filter(e =>
          !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim());
        const pictures = [...document.querySelectorAll('figure svg')].filter(e =>
          e.getAttribute('role') !== 'img' || !e.getAttribute('aria-label'));
        const sections = [...document.querySelectorAll('section')].filter(e => !document.getElementById(e.getAttribute('aria-labelledby')));
        const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
        const unreachable = [...document.querySelectorAll('table.report thead th.dt-orderable-asc')].filter(e =>
          !e.querySelector('[tabindex="0"]'));
        const untitled = [...document.querySelectorAll('table')].filter(e => !(e.caption && e.caption.textContent.trim()));
        const roles = [...document.querySelectorAll('tr[tabindex], tr[aria-expanded]')];
        return {unnamed: unnamed.map(e => e.outerHTML.slice(0, 200)), pictures: pictures.length, sections: sections.length,
                doubled: ids.filter((id, i) => ids.indexOf(id) !== i).slice(0, 5), unreachable: unreachable.length,
                untitled: untitled.map(e => e.id), roles: roles.length,
                dead: [...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.getAttribute('href'))).length};
        """
    )
    assert problems == {"unnamed": [], "pictures": 0, "sections": 0, "doubled": [], "unreachable": 0, "untitled": [], "roles": 0, "dead": 0}


def test_nothing_is_wider_than_the_window(browser):
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_inlined_figures_point_at_their_own_parts(browser):
    missing = browser.execute_script(
        """
        const used = [...document.querySelectorAll('figure svg use')].map(e => e.getAttribute('xlink:href') || e.getAttribute('href'));
        return used.filter(href => !document.getElementById(href.slice(1))).length;
        """
    )
    assert missing == 0
