"""Around a run: `plan`, what it costs; `run`, snakemake, safe to start again; `status`, how far it is."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.commands.panels import EVERYDAY, EXPERIMENT, Json, console, print_json, print_table

app = typer.Typer()
WATCHED_EVERY = 5.0  # seconds


@app.command(rich_help_panel=EXPERIMENT, epilog="Example:  equipoise plan workflow/experiments/llama3-8b.yaml --gpu H100 --mfu 0.4")
def plan(
    config: Annotated[str, typer.Argument(help="YAML file of an experiment.")],
    gpu: Annotated[str, typer.Option(help="A100, H100 or H200.")] = "H100",
    mfu: Annotated[float, typer.Option(help="Share of the GPU's peak rate that matrix products reach.")] = 0.4,
    rows: Annotated[int | None, typer.Option(help="Rows of the pool; default: from its files, else assumed.", min=1)] = None,
    mean_tokens: Annotated[float | None, typer.Option(help="Mean tokens of a pool row; default: from its files, else assumed.")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Instead: which of 8, 14, 32 and 70 B fits which GPU at which setting.")] = False,
    json: Json = False,
) -> None:
    """Prints jobs, tokens, FLOPs, GPU-hours, GPU memory and disk of every stage, and what is left of them."""
    from equipoise.config_file import read_config
    from equipoise.planning.plan import as_text, as_values
    from equipoise.planning.plan import plan as make_plan

    if fit:
        from equipoise.planning import fit as fitting

        read = read_config(config)
        found = fitting.fits(read)
        print_json(fitting.as_values(found)) if json else typer.echo(fitting.as_text(found, read), nl=False)
        return
    made = make_plan(read_config(config), gpu, mfu, rows, mean_tokens)
    if json:
        print_json(as_values(made))
    else:
        typer.echo(as_text(made), nl=False)


@app.command(
    rich_help_panel=EVERYDAY,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[OPTIONS AND TARGETS OF SNAKEMAKE]",
    epilog="Example:  equipoise run --profile profiles/local --cores 2",
)
def run(context: typer.Context) -> None:
    """Runs the experiment: snakemake with the options given, safe to type again after a kill.

    It removes the lock of a run that was killed, never that of a live one. Every option and target of snakemake is taken; those most used:

    \b
    --configfile my.yaml         the experiment; else the embedded one
    --profile profiles/local     where it runs; slurm, profiles/kubernetes, ...
    --cores 2                    cores that jobs may use at a time
    --config budgets='[0.02]'    keys that replace the file's
    -n                           only show what would run, and why
    --forcerun report            run a stage again with all that follows
    --until rank                 go no further than a stage
    selections                   a target: end with these (also: matrix)

    \b
    snakemake --help tells the rest.
    """
    from equipoise.cluster.run import run_snakemake

    run_snakemake(context.args)


@app.command(rich_help_panel=EVERYDAY, epilog="Example:  equipoise status results")
def status(
    results: Annotated[str, typer.Argument(help="Folder of results, or <results>/<experiment>.")] = "results",
    folder: Annotated[str, typer.Option(help="Where snakemake runs (its .snakemake and logs lie there).")] = ".",
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every few seconds, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Shows stages, what runs with its rows and rate, time left, disk, and failed jobs with their last words."""
    import time

    from equipoise.cluster.status import as_table, find_experiments, notes, sentence, status_of

    while True:
        found = [status_of(configuration, Path(folder)) for configuration in find_experiments(results)]
        if watch and not json:
            console().clear()
        if json:
            print_json([each.values() for each in found])
        for each in [] if json else found:
            typer.echo(sentence(each))
            print_table(lambda width, each=each: as_table(each))
            typer.echo("\n".join(notes(each)))
        if not watch:
            return
        try:
            time.sleep(WATCHED_EVERY)
        except KeyboardInterrupt:
            return
