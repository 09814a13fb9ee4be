"""Programs in answers: writing them as code fences and reading them back."""

import re

FENCE = re.compile(r"```[a-zA-Z0-9_+-]*[ \t]*\r?\n(.*?)(?:\n?```|\Z)", re.DOTALL)


def fenced(program: str) -> str:
    """A program as a Markdown code fence."""
    return f"```python\n{program.replace(chr(13), '').strip(chr(10))}\n```"


def program_of(answer: str) -> str:
    """The program in an answer: its first code fence (closed or not), or the whole answer where there is none."""
    fence = FENCE.search(answer)
    return fence[1] if fence else answer
