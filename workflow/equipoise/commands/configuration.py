"""`equipoise config ...`: check, show and document configuration."""

from typing import Annotated

import typer

from equipoise.commands.panels import MAINTENANCE
from equipoise.commands.starting import check

app = typer.Typer()
config = typer.Typer(
    help="Check, show and document configuration files.",
    epilog="Example:  equipoise config check config.yaml",
    no_args_is_help=True,
)
app.add_typer(config, name="config", rich_help_panel=MAINTENANCE)

ConfigPath = Annotated[str, typer.Argument(help="YAML file of an experiment.")]


config.command("check", epilog="Example:  equipoise config check config.yaml")(check)


@config.command(epilog="Example:  equipoise config show config.yaml")
def show(path: ConfigPath) -> None:
    """Prints the effective configuration, all defaults filled in."""
    import yaml

    from equipoise.config_file import read_config

    typer.echo(yaml.safe_dump(read_config(path).model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120), nl=False)


@config.command(epilog="Example:  equipoise config schema > workflow/schemas/config.schema.json")
def schema() -> None:
    """Prints the JSON schema of configuration files."""
    from equipoise.config_file import json_schema

    typer.echo(json_schema(), nl=False)


@config.command(epilog="Example:  equipoise config reference > docs/configuration.md")
def reference() -> None:
    """Prints every key with values, default and description, as Markdown."""
    from equipoise.config_reference import reference as text

    typer.echo(text(), nl=False)


@config.command(epilog="Example:  equipoise config comment config.yaml --write")
def comment(
    path: ConfigPath, write: Annotated[bool, typer.Option("--write", help="Replace the file instead of printing.")] = False
) -> None:
    """Renders a configuration file with every key and its description as a comment."""
    from equipoise.config_comments import commented_yaml
    from equipoise.config_file import read_config
    from equipoise.files import write_text

    text = commented_yaml(read_config(path))
    if not write:
        typer.echo(text, nl=False)
        return
    write_text(path, text)
