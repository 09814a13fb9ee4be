"""Every command's help ends with an example, and the example is one the command understands."""

import shlex

import pytest
import typer

from equipoise.cli import app
from equipoise.config_file import read_config
from equipoise.experiment import experiment_runs
from helpers.places import REPOSITORY


def below(command, path=()):
    """Every command and group below a group, by its words."""
    for name, sub in getattr(command, "commands", {}).items():
        yield (*path, name), sub
        yield from below(sub, (*path, name))


ROOT = typer.main.get_command(app)
COMMANDS = {path: command for path, command in below(ROOT) if not hasattr(command, "commands")}
GROUPS = {path: command for path, command in below(ROOT) if hasattr(command, "commands")}


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


def test_examples_name_files_and_runs_that_exist():
    runs = {run.path for run in experiment_runs(read_config(REPOSITORY / "config.yaml"))}
    for command in COMMANDS.values():
        words = shlex.split(command.epilog.partition(":  ")[2].partition(" > ")[0])
        given = [word for word in words if word.endswith(".yaml") and not word.startswith("results/")]  # those, an earlier command writes
        assert all((REPOSITORY / word).is_file() for word in given), words
        assert "--run" not in words or words[words.index("--run") + 1] in runs, words


def test_the_front_page_has_an_example_too():
    assert ROOT.epilog == "Example:  equipoise check config.yaml"


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_groups_help_shows_the_example_of_one_of_its_commands(path):
    assert GROUPS[path].epilog in [command.epilog for name, command in COMMANDS.items() if name[:-1] == path]
