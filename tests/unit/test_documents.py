"""README and docs: what they name exists, and what is generated is fresh. Their commands: tests/integration/test_documented_commands.py."""

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


def test_every_citation_of_the_method_is_one_of_its_headings():
    headings = set(re.findall(r"^## (.+)$", (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8"), re.M))
    texts = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "workflow" / "equipoise").rglob("*.py")}
    cited = [(str(path), each) for path, text in texts.items() for each in re.findall(r'method\.md, "([^"]+)"', text)]
    assert [(path, each) for path, each in cited if each not in headings] == []
    assert len(cited) >= 20
    # no other form: a number or a word that stands for no heading leads nowhere
    loose = [f"{path}: {each}" for path, text in texts.items() for each in re.findall(r'method\.md(?!, ").*|\(.{0,30}\bmethod: .*', text)]
    assert loose == []
