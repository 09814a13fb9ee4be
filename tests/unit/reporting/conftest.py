"""What tests of reports share."""

import pytest


@pytest.fixture
def undrawn(monkeypatch):
    """Reports whose figures are made but not rendered, which takes most of a report's time: for tests that look at none."""
    empty = {"svg": b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "pdf": b"", "png": b""}
    monkeypatch.setattr("equipoise.reporting.figure.rendered", lambda figure, endings: dict(empty))
