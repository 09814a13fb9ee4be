"""Every command's help ends with an example, and the example is one the command understands."""

import shlex

import pytest
import typer

from equipoise.cli import app


def commands(command, path=()):
    for name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


ROOT = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_example_in_the_help_parses(path):
    command = COMMANDS[path]
    words = shlex.split(command.epilog.partition(":  ")[2].partition(" > ")[0])
    if path == ("run",):  # the words behind `run` are snakemake's
        assert words[:2] == ["equipoise", "run"]
        return
    assert words[: len(path) + 1] == ["equipoise", *path]
    command.make_context(" ".join(path), words[len(path) + 1 :])  # raises on an option or argument it does not know
    assert command.help


def test_the_front_page_has_an_example_too():
    assert ROOT.epilog == "Example:  equipoise config check config.yaml"
