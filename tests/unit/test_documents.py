"""README and docs: what they name exists, their commands are ones that the program takes, and what is generated is fresh."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from equipoise.cli import app
from equipoise.config_reference import reference
from helpers.places import REPOSITORY

DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
PATH = re.compile(r"(?<![\w/.-])((?:docs|envs|examples|profiles|tests|workflow)/[\w./-]*\w)")
OURS = {"profiles/slurm/site.yaml": "the user's own file"}
"""Paths that need not exist, and why."""


def commands(path: Path) -> list[list[str]]:
    """Words of the `equipoise` commands in code of a document, comments, prompts and a rest after `|` or `>` left out."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"`(equipoise [^`]+)`", text)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M) + re.findall(r"(?:^    .*\n)+", text, re.M):
        lines += [line.strip().removeprefix("$ ").removeprefix("sudo ") for line in block.splitlines()]
    found = [shlex.split(re.split(r" [#|>] | [#|>]$", line)[0]) for line in lines if line.startswith("equipoise ")]
    return [words[1:] for words in found if "..." not in words]


def mistake(command, words: list[str], name: str = "equipoise") -> str | None:
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_is_one_that_the_program_takes(path):
    program = typer.main.get_command(app)
    wrong = {" ".join(words): mistake(program, words) for words in commands(path) if len(words) > 1}  # a name alone is no command line
    assert {line: said for line, said in wrong.items() if said} == {}


def test_commands_are_found_and_wrong_ones_fail(tmp_path):
    document = tmp_path / "one.md"
    document.write_text("`equipoise plan a.yaml`\n\n```bash\n$ equipoise select m.npy --nonsense 1 # why\n```\n", encoding="utf-8")
    assert commands(document) == [["plan", "a.yaml"], ["select", "m.npy", "--nonsense", "1"]]
    program = typer.main.get_command(app)
    assert mistake(program, ["plan", "a.yaml"]) is None
    assert "--nonsense" in mistake(program, ["select", "m.npy", "--nonsense", "1"])
    assert mistake(program, ["plant"]) == "no command plant"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path):
    text = path.read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", text))
    assert [each for each in shown if not (path.parent / each).exists()] == []
    if path.name != "extending.md":  # its examples are files that one would write
        assert [each for each in PATH.findall(text) if each not in OURS and not (REPOSITORY / each).exists()] == []


def test_the_readme_is_read_in_five_minutes():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(re.sub(r"^\|.*$", "", text, flags=re.M).split()) <= 1200


def test_the_reference_of_the_configuration_is_fresh():
    committed = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert committed == reference(), "equipoise config reference > docs/configuration.md"
    assert "`tasks.<name>.benchmark`" in committed
