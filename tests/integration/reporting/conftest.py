"""What the tests of pages in a browser share."""

import pytest

from helpers.browser import opened


@pytest.fixture(scope="module")
def browser(page):
    """Chromium with the page of the module's own fixture `page`."""
    with opened(page) as driver:
        yield driver


@pytest.fixture
def seen(browser):
    """Sets the window's width, the theme and the medium; all as before after the test."""

    def see(width: int = 1280, dark: bool = False, medium: str = "screen") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})

    yield see
    see()
