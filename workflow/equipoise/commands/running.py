"""`equipoise run ...`: snakemake, safe to start again after a crash; `equipoise status ...`: where a run stands."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example:  equipoise run --profile profiles/local --cores 2",
)
def run(context: typer.Context) -> None:
    """Runs snakemake with the options given, removing the lock of a run that was killed (never that of a live one)."""
    from equipoise.cluster.run import run_snakemake

    run_snakemake(context.args)


@app.command(epilog="Example:  equipoise status results")
def status(
    results: Annotated[str, typer.Argument(help="Folder of results, or <results>/<experiment>.")] = "results",
    folder: Annotated[str, typer.Option(help="Where snakemake runs (its .snakemake and logs lie there).")] = ".",
) -> None:
    """Shows stages, shards done and running, rows per second, time left, disk, and failed jobs with their last words."""
    from equipoise.cluster.show import shown
    from equipoise.cluster.status import find_experiments, status_of

    for configuration in find_experiments(results):
        typer.echo(shown(status_of(configuration, Path(folder))))
