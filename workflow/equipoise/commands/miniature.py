"""`equipoise miniature ...`: the embedded experiment's data, its base model and its study."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.commands.panels import MAINTENANCE

app = typer.Typer(no_args_is_help=True)
miniature = typer.Typer(
    help="The embedded experiment: its data, its base model, its study.",
    epilog="Example:  equipoise miniature generate --profile noisy --seed 0",
    no_args_is_help=True,
)
app.add_typer(miniature, name="miniature", rich_help_panel=MAINTENANCE)


@miniature.command(epilog="Example:  equipoise miniature generate --profile noisy --seed 0")
def generate(
    config: Annotated[Path | None, typer.Option(help="Take profile and seed from this experiment's YAML.")] = None,
    profile: Annotated[str, typer.Option(help="Noise profile of the pool: noisy or clean.")] = "noisy",
    seed: Annotated[int, typer.Option(help="Seed of the pool.", min=0)] = 0,
) -> None:
    """Write a pool, the tasks' validation and test items and their lm-eval tasks to resources/miniature/<profile>-<seed>."""
    from equipoise.miniature import generate as stage

    if config is None:
        typer.echo(stage.write_data(profile, seed))
    else:
        from equipoise.config_file import read_config

        stage.generate(read_config(config))


@miniature.command(epilog="Example:  equipoise miniature pretrain --out results/miniature-base --steps 300")
def pretrain(
    out: Annotated[Path, typer.Option(help="Folder of the base model and its tokenizer.")] = Path("results/miniature-base"),
    work: Annotated[Path, typer.Option(help="Folder of the snapshot that a stopped run goes on from.")] = Path("results/miniature-work"),
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; none: as the shipped base.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the stream.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
) -> None:
    """Train the base model; started again after an interruption, it goes on where it stopped."""
    from equipoise.miniature.pretrain import Pretraining, pretrain

    settings = Pretraining(seed=seed, threads=threads) if steps is None else Pretraining(steps=steps, seed=seed, threads=threads)
    loss = pretrain(out, settings, work)
    typer.echo(f"{out}: base model after {settings.steps:,} steps, last loss {loss:.4f}")


@miniature.command(epilog="Example:  equipoise miniature study --cores 2 --pool-seeds 0,1,2 --profiles noisy,clean")
def study(
    cores: Annotated[str, typer.Option(help="Cores for snakemake: a number or all.")] = "all",
    pool_seeds: Annotated[str, typer.Option(help="Seeds of the pools, separated by commas.")] = "0,1,2",
    profiles: Annotated[str, typer.Option(help="Noise profiles, separated by commas.")] = "noisy,clean",
    config: Annotated[Path, typer.Option(help="The embedded experiment that every pool's experiment is made from.")] = Path("config.yaml"),
) -> None:
    """Run the miniature on several pools and gather one table; what is finished is not run again."""
    from equipoise.commands.options import some_of
    from equipoise.miniature.generated_pool import PROFILES
    from equipoise.miniature.study import run_study

    typer.echo(run_study(config, some_of("--profiles", profiles, PROFILES), pool_seeds.split(","), cores))
