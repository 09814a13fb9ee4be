"""`equipoise status ...`: where a run stands."""

from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="Example:  equipoise status results")
def status(
    results: Annotated[str, typer.Argument(help="Folder of results, or <results>/<experiment>.")] = "results",
    folder: Annotated[str, typer.Option(help="Where snakemake runs (its .snakemake and logs lie there).")] = ".",
) -> None:
    """Shows stages, shards done and running, rows per second, time left, disk, and failed jobs with their last words."""
    from pathlib import Path

    from equipoise.cluster.show import shown
    from equipoise.cluster.status import find_experiments, status_of

    for configuration in find_experiments(results):
        typer.echo(shown(status_of(configuration, Path(folder))))
