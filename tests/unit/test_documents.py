"""README and docs: what they name exists, and what is generated is fresh. Their commands: tests/integration/test_documented_commands.py."""

import ast
import re

import pytest

from equipoise.config_reference import reference
from helpers.documentation import DOCUMENTS
from helpers.places import REPOSITORY

PATH = re.compile(r"(?<![\w/.-])((?:docs|envs|examples|profiles|tests|workflow)/[\w./-]*\w)")
OURS = {"profiles/slurm/site.yaml": "the user's own file"}
"""Paths that need not exist, and why."""


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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_long_document_has_sections_to_link_to(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.split()) < 400 or len(re.findall(r"^## ", text, re.M)) >= 3


def test_every_citation_of_the_method_is_one_of_its_headings():
    headings = set(re.findall(r"^## (.+)$", (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8"), re.M))
    texts = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "workflow" / "equipoise").rglob("*.py")}
    cited = [(str(path), each) for path, text in texts.items() for each in re.findall(r'method\.md, "([^"]+)"', text)]
    assert [(path, each) for path, each in cited if each not in headings] == []
    assert len(cited) >= 20
    # no other form: a number or a word that stands for no heading leads nowhere
    loose = [f"{path}: {each}" for path, text in texts.items() for each in re.findall(r'method\.md(?!, ").*|\(.{0,30}\bmethod: .*', text)]
    assert loose == []


def said_by_the_program() -> list[str]:
    """Every text that the code holds, adjoining literals as one, with NUL for what an f-string fills in."""
    found = []
    for path in (REPOSITORY / "workflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def is_said(message: str, texts: list[str]) -> bool:
    """Whether the pieces of a message between `...` stand in one text, in their order, with something filled in between."""
    pieces = message.removeprefix("...").removesuffix("...").split("...")
    wanted = re.compile(r"[^\n]*?\0[^\n]*?".join(map(re.escape, pieces)))
    return any(wanted.search(text) for text in texts)


def test_every_message_that_troubleshooting_quotes_is_one_of_the_programs():
    text, texts = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), said_by_the_program()
    quoted = [message for heading in re.findall(r"^### (.+)$", text, re.M) for message in re.findall(r"`([^`]+)`", heading)]
    assert len(quoted) >= 40
    assert [message for message in quoted if not is_said(message, texts)] == []


def test_a_message_that_no_code_holds_is_seen():
    texts = ["\0: a run is going on here (\0); wait"]
    assert is_said("...: a run is going on here (...); wait", texts)
    assert not is_said("a run is going on there", texts)
    assert not is_said("a run ... here (...)", texts), "nothing is filled in there"
