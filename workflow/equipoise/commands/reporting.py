"""`equipoise figures` and `equipoise compare`: parts of the report by themselves."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.commands.panels import EXPERIMENT, Json, print_json, print_table

app = typer.Typer()


@app.command(rich_help_panel=EXPERIMENT, epilog="Example:  equipoise figures --config config.yaml")
def figures(config: Annotated[str, typer.Option(help="YAML file of the experiment.")]) -> None:
    """Draws only the report's figures again (SVG, PDF, PNG and the plotted CSV)."""
    from equipoise.config_file import read_config
    from equipoise.reporting.report import figures as draw_figures

    draw_figures(read_config(config))


@app.command(rich_help_panel=EXPERIMENT, epilog="Example (after make study):  equipoise compare miniature miniature-clean-0")
def compare(
    first: Annotated[str, typer.Argument(help="Name, results folder or YAML file of an experiment.")],
    second: Annotated[str, typer.Argument(help="The experiment that is set against it.")],
    results: Annotated[str, typer.Option(help="Folder of all results.")] = "results",
    output: Annotated[Path | None, typer.Option(help="Also write compare.{csv,md,tex,html} to this folder.")] = None,
    json: Json = False,
) -> None:
    """Prints what the second experiment gives more or less than the first, arm by arm, with intervals."""
    from equipoise.reporting.compare import compare as compare_experiments
    from equipoise.reporting.compare import verdict
    from equipoise.reporting.experiments import find_experiment
    from equipoise.reporting.render import to_terminal, to_values, write_table

    table = compare_experiments(find_experiment(first, results), find_experiment(second, results))
    if json:
        print_json({"verdict": verdict(table), "caption": table.caption, "rows": to_values(table)})
    else:
        typer.echo(f"{verdict(table)}\n")
        print_table(lambda width: to_terminal(table, width))
        typer.echo(f"\n{table.caption}")
    if output is not None:
        write_table(table, output)
