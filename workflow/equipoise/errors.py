"""The one exception for a user's mistake: shown as one line, exit status 2, no traceback."""

import re

STEERING = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""Control characters but tab and line feed, bidi overrides, lone surrogates: what steers a terminal, or cannot be printed."""


class UserError(Exception):
    """What is wrong, where (file, line, key, row id) and what to write instead, in one line."""


def first_line(error: BaseException) -> str:
    """The first line that an error says, or its class where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def printable(text: str) -> str:
    """Text for a terminal or a log: what would steer it is shown by its code point."""
    return STEERING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
