"""A real browser without network, and what tests of pages ask it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.places import REPOSITORY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium with its driver here (Debian: apt-get install chromium chromium-driver)"
)

AXE = Path(os.environ.get("AXE_CORE", REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"))
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not here (npm install --no-save axe-core; AXE_CORE names another place)"
)


@contextmanager
def opened(page: Path) -> Iterator:
    """The driver of a browser that shows a page once the page is ready."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    # any request that is not the file itself fails and is logged
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)  # axe takes seconds, on a busy machine many
    try:
        driver.get(page.as_uri())
        wait(driver, lambda: driver.execute_script("return document.documentElement.dataset.ready === 'true'"))
        yield driver
    finally:
        driver.quit()


def wait(driver, condition: Callable[[], object]) -> None:
    """Until a condition holds, a minute at most."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60).until(lambda _: condition())


def violations(driver) -> list[list]:
    """What axe finds on the page with all of it unfolded: its rule, how often, and the first place."""
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    script = """
    const done = arguments[0];
    document.querySelectorAll('details').forEach(each => { each.open = true; });
    axe.run(document).then(found => done(found.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200)])));
    """
    return driver.execute_async_script(script)


def complaints(driver) -> list[dict]:
    """Errors and warnings of the browser's console since they were last asked for."""
    return [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
