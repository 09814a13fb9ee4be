"""The command line as a whole: names, panels, version, JSON beside every table, closed pipes."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator

import pytest
import typer

from equipoise import __version__, cli
from equipoise.commands.panels import PANELS
from helpers.commands import equipoise

ROOT = typer.main.get_command(cli.app)
NO_TABLE = ("config show", "config schema", "config reference", "config comment", "miniature generate", "init")
"""They print a text in a form of its own (YAML, JSON, Markdown), a path or a sentence."""
IN_THE_LOG = ("decontaminate",)
"""Stages that log a line for every task."""


def commands(group: typer.core.TyperGroup = ROOT, *before: str) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """Every command, those of groups too, by how it is typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield " ".join([*before, name]), command


def prints_a_table(command: typer.core.TyperCommand) -> bool:
    """Whether a command's own function calls print_table, prints in a loop, or prints a text that was made elsewhere."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(command.callback))))

    def calls(name: str, within: ast.AST = tree) -> list[ast.Call]:
        made = [node for node in ast.walk(within) if isinstance(node, ast.Call)]
        return [node for node in made if getattr(node.func, "id", getattr(node.func, "attr", "")) == name]

    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While)]
    made = [node for node in calls("echo") if node.args and not isinstance(node.args[0], ast.JoinedStr | ast.Constant)]
    return bool(calls("print_table") or made or any(calls("echo", loop) for loop in loops))


COMMANDS = dict(commands())
PRINT_A_TABLE = [name for name, command in COMMANDS.items() if name in IN_THE_LOG or (prints_a_table(command) and name not in NO_TABLE)]


@pytest.mark.parametrize("name", ROOT.commands)
def test_every_command_stands_in_a_panel_and_is_known_with_dashes_and_underscores(name):
    assert ROOT.commands[name].rich_help_panel in PANELS
    context = typer.Context(ROOT)
    for spelled in (name, name.replace("_", "-"), name.replace("-", "_")):
        assert ROOT.get_command(context, spelled) is ROOT.commands[name]


def test_panels_follow_each_other_and_rules_keep_their_names():
    panels = [ROOT.commands[name].rich_help_panel for name in ROOT.list_commands(typer.Context(ROOT))]
    assert list(dict.fromkeys(panels)) == list(PANELS)
    assert panels == sorted(panels, key=PANELS.index)
    everyday = [name for name in ROOT.commands if ROOT.commands[name].rich_help_panel != "Stages"]
    assert not [name for name in everyday if "_" in name]


def test_the_version_is_the_packages():
    assert equipoise("--version").stdout == f"equipoise {__version__}\n"


@pytest.mark.parametrize("name", PRINT_A_TABLE)
def test_what_prints_a_table_prints_json_too(name):
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_commands_that_print_tables_are_found():
    assert {"compare", "status", "plan", "check", "doctor", "verify", "audit-gradients", "explain"} < set(PRINT_A_TABLE)
    assert {"validate_influence", "miniature study"} < set(PRINT_A_TABLE)
    assert all(prints_a_table(COMMANDS[name]) for name in NO_TABLE), "an exception that is none"


def test_help_of_run_names_options_of_snakemake():
    told = equipoise("run", "--help").stdout
    assert all(word in told for word in ("--configfile", "--profile", "--cores", "--forcerun", "snakemake --help"))


def test_a_plan_as_json_is_json():
    assert json.loads(equipoise("plan", "config.yaml", "--json").stdout)["stages"]
