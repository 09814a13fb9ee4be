"""What the tests of pages in a browser share."""

import pytest

from helpers.browser import opened


@pytest.fixture(scope="module")
def browser(page):
    """Chromium with the page of the module's own fixture `page`."""
    with opened(page) as driver:
        yield driver
