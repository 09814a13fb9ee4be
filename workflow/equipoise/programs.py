"""Programs in answers: writing them as code fences and reading them back."""

import re
from textwrap import dedent

FENCE = re.compile(
    r"(?P<indent>(?:^[ \t]+)?)(?P<fence>```|~~~)[^`\n]*\n(?P<program>.*?)(?:\n?[ \t]*(?P=fence)|\Z)", re.DOTALL | re.MULTILINE
)
DEFINITION = re.compile(r"^\s*(?:async\s+def|def|class)\s", re.MULTILINE)


def fenced(program: str) -> str:
    """A program as a Markdown code fence."""
    return f"```python\n{program.replace(chr(13), '').strip(chr(10))}\n```"


def program_of(answer: str) -> str:
    """The program in an answer: its first code fence (closed or not) that defines something, else its first; without any, all of it.

    An indented fence, as in a list, loses its indentation.
    """
    fences = [dedent(fence["program"]) if fence["indent"] else fence["program"] for fence in FENCE.finditer(answer)]
    return next((program for program in fences if DEFINITION.search(program)), fences[0] if fences else answer)
