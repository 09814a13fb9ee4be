"""Before a run: `init` writes a configuration, `check` tries one, `doctor` looks at the machine."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from equipoise.commands.panels import EVERYDAY, Json, print_json, print_table
from equipoise.errors import UserError

app = typer.Typer()
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # a look at what is at hand downloads no weights
SHOWN = 3


@app.command(
    rich_help_panel=EVERYDAY, epilog="Example:  equipoise init pool.jsonl --task sums=sums.jsonl --base HuggingFaceTB/SmolLM2-135M"
)
def init(
    pool: Annotated[list[str], typer.Argument(help="Files, folders or patterns of the pool: what to choose from.")],
    task: Annotated[
        list[str], typer.Option("--task", help="NAME=FILE, once per task: prompts with responses that say what to get better at.")
    ],
    base: Annotated[str, typer.Option(help="Base model: a folder, or a hub id that `equipoise fetch` has brought.")],
    output: Annotated[Path, typer.Option(help="The configuration to write.")] = Path("my.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")] = False,
    trial: Annotated[bool, typer.Option(help="Measure some seconds on the base, to tell how long a run will take.")] = True,
) -> None:
    """Writes a short configuration for your files and this machine; opens every file, shows examples, tells how long a run will take."""
    os.environ |= OFFLINE
    if output.exists() and not force:
        raise UserError(f"{output}: is there already; write --force to replace it, or another --output")
    started = time.perf_counter()
    from equipoise.checking.first_config import Machine, encode, first_config, material, rendered
    from equipoise.checking.shown_examples import shown
    from equipoise.config_file import parse_config
    from equipoise.files import write_text
    from equipoise.process import prepare_process, silence_libraries

    silence_libraries()
    machine = Machine.here()
    found = material(pool, _tasks(task), base, output.stem, machine)
    config = first_config(found)
    prepare_process(config, "warm_up")
    from equipoise.modelling.base import load_tokenizer

    tokenizer = load_tokenizer(config.model)
    examples = encode(found.pool, tokenizer, config.model.max_length)
    counts = ", ".join(f"{name} {len(records):,}" for name, records in found.tasks.items())
    typer.echo(f"pool: {len(found.pool):,} examples; tasks: {counts}; {machine.processors} processors, {machine.gpus} GPUs\n")
    typer.echo(f"{SHOWN} examples as the model sees them (marked: what it learns):\n")
    for example in examples[:SHOWN]:
        shown(example, tokenizer)
    said = f"Written by equipoise init for {len(found.pool):,} rows, {machine.processors} processors and {machine.gpus} GPUs."
    values = found.values
    if trial:
        from equipoise.checking.first_config import in_time
        from equipoise.checking.trial import expected, measured
        from equipoise.progress import duration

        items = [
            len(each.input_ids) for read in found.tasks.values() for each in encode(read, tokenizer, config.targets.longest(config.model))
        ]
        drawn = config.targets.size * len(config.tasks)
        speed = measured(config, examples, started)
        mean = sum(items) / len(items)
        work = ([len(example.input_ids) for example in examples], [round(mean)] * (len(items) - drawn), round(mean * drawn))
        values, why = in_time(found.values, len(found.pool), lambda each: expected(each, speed, *work, machine.processors).selections)
        told = expected(parse_config(values, "init"), speed, *work, machine.processors)
        if why:
            typer.echo(why)
        typer.echo(f"expected on this machine: selections in {duration(told.selections)}, the whole experiment in {duration(told.report)}")
    write_text(output, rendered(values, said))
    typer.echo(f"wrote {output}; next:  equipoise check {output}")


def _tasks(named: list[str]) -> dict[str, list[str]]:
    """Files by task. Raises `UserError` for an entry without a name or a file."""
    tasks: dict[str, list[str]] = {}
    for entry in named:
        name, given, file = entry.partition("=")
        if not (name and given and file):
            raise UserError(f"--task {entry}: write NAME=FILE, such as sums=validation/sums.jsonl")
        tasks.setdefault(name, []).append(file)
    return tasks


@app.command(rich_help_panel=EVERYDAY, epilog="Example:  equipoise check config.yaml")
def check(path: Annotated[str, typer.Argument(help="YAML file of an experiment.")], json: Json = False) -> None:
    """Opens every file of a configuration and tries base and tasks as stages use them: counts, lengths, what is cut."""
    os.environ |= OFFLINE
    from equipoise.checking.check_base import examine
    from equipoise.checking.check_files import as_table, opened
    from equipoise.config_file import read_config
    from equipoise.experiment import experiment_runs, miniature_files
    from equipoise.process import prepare_process

    config = read_config(path)
    prepare_process(config, "check_base")
    made = all(Path(file).exists() for file in miniature_files(config))
    parts = list(opened(config)) if made else []
    found = examine(config)
    adapted = ", ".join(f"{pattern} in {count} layers" for pattern, count in found["adapted"].items())
    if json:
        runs = [run.path for run in experiment_runs(config)]
        print_json(
            {
                "config": path,
                "valid": True,
                "experiment": config.experiment,
                "base": found,
                "data": [p.values() for p in parts],
                "runs": runs,
            }
        )
        return
    if parts:
        print_table(lambda width: as_table(parts))
    for part in parts:
        for note in part.notes:
            typer.echo(f"{part.name}: {note}")
    if not made:
        typer.echo("tasks and pool: not tried, as the workflow has not generated their data yet")
    typer.echo(f"{path}: valid; {found['model']}, attention {found['attention']}, adapter: {adapted}")
    typer.echo(f"{len(experiment_runs(config))} runs; next:  equipoise run --configfile {path} --cores all")


@app.command(rich_help_panel=EVERYDAY, epilog="Example:  equipoise doctor")
def doctor(
    results: Annotated[Path, typer.Option(help="Folder of all results.")] = Path("results"),
    json: Json = False,
) -> None:
    """Looks at Python, torch, GPU, driver, disk, Slurm, hub and sandbox, each with its remedy; exit status 1 where nothing can run."""
    from equipoise.checking.doctor import BROKEN, MISSING, as_table, findings
    from equipoise.process import silence_libraries

    silence_libraries()
    found = findings(results)
    broken = [each.what for each in found if each.state == BROKEN]
    if json:
        print_json([vars(each) for each in found])
    else:
        print_table(lambda width: as_table(found))
        missing = ", ".join(each.what for each in found if each.state == MISSING)
        typer.echo(
            f"cannot run: {', '.join(broken)}"
            if broken
            else "ready" + (f"; not here, needed by some experiments: {missing}" if missing else "")
        )
    if broken:
        raise typer.Exit(1)
