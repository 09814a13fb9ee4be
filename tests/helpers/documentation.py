"""The commands that README and docs show, and what the programs say of a command line without running it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.places import REPOSITORY

DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
SHELL = ("", "console", "bash", "sh")
"""What stands behind the marks of a fenced block that holds commands."""
PROGRAMS = ("equipoise", "make", "snakemake", "pip", "python", ".venv/bin/python", "sudo", "export", "git", "cp", "cat", "cd")
"""First words by which a line of an indented block is a command."""
MARKS = ("needs a cluster", "needs GPUs", "needs the internet", "needs root", "takes minutes")
"""What a reader is told of a command, in the comment behind it, that no test runs as it stands."""


@dataclass(frozen=True)
class Command:
    """A line of a block: where it stands (document:line), the command, and the comment behind it."""

    where: str
    text: str
    comment: str

    @property
    def document(self) -> str:
        """Name of the document."""
        return self.where.partition(":")[0]

    @property
    def mark(self) -> str | None:
        """Why no test runs it, as the document says; none where it says nothing."""
        return next((mark for mark in MARKS if mark in self.comment), None)

    @property
    def words(self) -> list[str]:
        """Its words, without what a shell does with the output."""
        return shlex.split(re.split(r" [|>]", self.text)[0])


def shown(path: Path) -> list[Command]:
    """Every command in fenced and indented blocks of a document. Raises `ValueError` for a line of a shell's block that is none."""
    found = []
    for number, line in _lines(path.read_text(encoding="utf-8")):
        text, _, comment = (part.strip() for part in re.sub(r"\s# ", "\0", line.strip().removeprefix("$ "), count=1).partition("\0"))
        found.append(Command(f"{path.name}:{number}", text, comment))
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of commands."""
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if mark := re.match(r"\s*```(\w*)", line):
            fence = mark[1] if fence is None else None
        elif fence in SHELL and line.strip():
            if first(line) not in PROGRAMS:
                raise ValueError(f"line {number}: {line!r} is no command of {', '.join(PROGRAMS)}")
            yield number, line
        elif fence is None and line.startswith("    ") and first(line) in PROGRAMS:
            yield number, line


def first(line: str) -> str:
    """The program of a line."""
    return line.strip().removeprefix("$ ").partition(" ")[0]


def inline(path: Path) -> list[str]:
    """Commands of more than one word in a document's running text."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [span for span in spans if first(span) in PROGRAMS and " " in span and "..." not in span]


def mistake(command: object, words: list[str], name: str = "equipoise") -> str | None:
    """What the program would say of a command or option that does not exist, or of an argument that is missing. Runs nothing."""
    if {"--help", "--version"} & set(words):
        return None
    try:
        if hasattr(command, "get_command") and words:
            inner = command.get_command(command.make_context(name, list(words), resilient_parsing=True), words[0])
            return mistake(inner, words[1:], words[0]) if inner else f"no command {words[0]}"
        command.make_context(name, list(words))
    except Exception as error:  # typer brings a click of its own, whose classes have no public name
        if not hasattr(error, "format_message"):
            raise
        return error.format_message()
    return None
