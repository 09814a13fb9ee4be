"""`equipoise select`, `attribute`, `explain`, `export`: selection beside the workflow, on any matrix."""

from typing import Annotated

import typer

from equipoise.commands.panels import EVERYDAY, EXPERIMENT, Json, print_json

app = typer.Typer()


@app.command(
    "select",
    rich_help_panel=EVERYDAY,
    epilog="Example (after make demo):  equipoise select results/miniature/miniature-base/attribution/influence/matrix.zarr "
    "--tasks results/miniature/miniature-base/attribution/influence/manifest.json --selector bids --budget 0.1 --output picks.jsonl",
)
def select_command(
    matrix: Annotated[str, typer.Argument(help="N x V matrix: .npy, .zarr, .safetensors, .csv or .parquet; one row per pool example.")],
    tasks: Annotated[str, typer.Option(help="JSON list of V task names, the task of every column (or a sealed matrix's manifest.json).")],
    output: Annotated[str, typer.Option(help='JSON lines, one per pick: {"rank", "row", "score", "column", "task"}.')],
    selector: Annotated[str, typer.Option(help="Name of a selector.")] = "bids",
    budget: Annotated[str, typer.Option(help="A share of the valid rows (0.1) or a count (500).")] = "0.1",
    seed: Annotated[int, typer.Option(help="Seed of `random`.")] = 0,
    valid: Annotated[str | None, typer.Option(help="Rows that may be chosen: JSON list of true and false, or .npy of booleans.")] = None,
    normalisation: Annotated[
        str, typer.Option(help="zscore or rank, for bids and its forms, instance_max_normalized, round_robin_floor.")
    ] = "zscore",
    header: Annotated[bool | None, typer.Option(help="Whether a .csv's first line names columns; default: as it looks.")] = None,
) -> None:
    """Selects pool rows by your own matrix of influence or similarity scores."""
    from equipoise.selection.interface import write_picks

    write_picks(matrix, tasks, selector, budget, seed, valid, normalisation, output, header)


@app.command("attribute", rich_help_panel=EXPERIMENT, epilog="Example:  equipoise attribute --config config.yaml")
def attribute_command(
    config: Annotated[str, typer.Option(help="Effective configuration, or any experiment's YAML.")],
    matrix: Annotated[str, typer.Option(help="influence, last_token or position_weighted; default: those the selectors rank on.")] = "",
) -> None:
    """Assembles and seals the matrices of an experiment; shards whose inputs have not changed are left alone."""
    from equipoise.attribution.seal import attribute
    from equipoise.config_file import read_config
    from equipoise.process import prepare_process

    experiment = read_config(config)
    prepare_process(experiment, "assemble_attribution")
    attribute(experiment, [matrix] if matrix else None)


@app.command(
    "explain",
    rich_help_panel=EVERYDAY,
    epilog="Example (after make demo):  equipoise explain results/miniature/miniature-base/selection/bids/selection-0/budget-0.1.jsonl "
    "--row noisy-0-0514",
)
def explain_command(
    run: Annotated[str, typer.Argument(help="A selection file, or the folder of a run that was trained on one.")],
    row: Annotated[str, typer.Option(help="The pool record's id, or its row number.")],
    json: Json = False,
) -> None:
    """Shows why a row was chosen: the record and the validation example that asked for it, side by side."""
    import shutil

    from equipoise.selection.explain import explain, explained

    if json:
        print_json(explained(run, row))
        return
    typer.echo(explain(run, row, shutil.get_terminal_size((120, 40)).columns))


@app.command(
    "export",
    rich_help_panel=EVERYDAY,
    epilog="Example (after make demo):  equipoise export results/miniature/miniature-base/selection/bids/selection-0/budget-0.1.jsonl "
    "--format huggingface --output my-selection",
)
def export_command(
    selection: Annotated[str, typer.Argument(help="A selection file, a run's folder, or picks of `equipoise select` (then with --pool).")],
    output: Annotated[str, typer.Option(help="File, or folder for huggingface.")],
    form: Annotated[str, typer.Option("--format", help="jsonl (messages), parquet or huggingface (a folder for load_dataset).")] = "jsonl",
    pool: Annotated[str | None, typer.Option(help="The pool's file, folder or pattern, in the matrix's row order.")] = None,
) -> None:
    """Writes a selection ready for TRL, LLaMA-Factory or axolotl."""
    from equipoise.selection.export import export

    rows = export(selection, form, output, pool)
    typer.echo(f"{rows} rows -> {output}")
