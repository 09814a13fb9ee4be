"""The command line as a whole: names, panels, version, JSON beside every table, closed pipes."""

import json

import pytest
import typer

from equipoise import __version__, cli
from equipoise.commands.panels import PANELS
from helpers.commands import equipoise

ROOT = typer.main.get_command(cli.app)
PRINTS_A_TABLE = ("plan", "compare", "explain", "audit-gradients", "status", "check", "doctor", "verify")


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


@pytest.mark.parametrize("name", PRINTS_A_TABLE)
def test_what_prints_a_table_prints_json_too(name):
    assert any("--json" in parameter.opts for parameter in ROOT.commands[name].params)


def test_help_of_run_names_options_of_snakemake():
    told = equipoise("run", "--help").stdout
    assert all(word in told for word in ("--configfile", "--profile", "--cores", "--forcerun", "snakemake --help"))


def test_a_plan_as_json_is_json():
    assert json.loads(equipoise("plan", "config.yaml", "--json").stdout)["stages"]
