"""`equipoise run ...`: snakemake, safe to type again after a crash."""

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
