"""The one exception for a user's mistake: shown as one line, exit status 2, no traceback."""


class UserError(Exception):
    """What is wrong, where (file, line, key, row id) and what to write instead, in one line."""
