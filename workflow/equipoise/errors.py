"""The one exception for a user's mistake: shown as one line, exit status 2, no traceback."""


class UserError(Exception):
    """What is wrong, where (file, line, key, row id) and what to write instead, in one line."""


def first_line(error: BaseException) -> str:
    """The first line that an error says, or its class where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
