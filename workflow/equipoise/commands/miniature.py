"""`equipoise miniature ...`: the embedded experiment's data, its base model and its study."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.commands.panels import MAINTENANCE, Json, print_json

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
    profile: Annotated[str, typer.Option(help="Profile of the pool: noisy, clean or conflicting.")] = "noisy",
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


@miniature.command(epilog="Example:  equipoise miniature study --pool-seeds 0,1 --estimator less,ekfac_unit --selectors bids,round_robin")
def study(
    cores: Annotated[str, typer.Option(help="Pools that are made at a time: a number or all.")] = "all",
    pool_seeds: Annotated[str, typer.Option(help="Seeds of the pools, separated by commas.")] = "0,1,2",
    profiles: Annotated[str, typer.Option(help="Profiles of the pools: noisy, clean, conflicting.")] = "noisy,clean",
    estimator: Annotated[str, typer.Option(help="Estimators of influence, separated by commas; default: the configuration's.")] = "",
    selectors: Annotated[str, typer.Option(help="Selectors, separated by commas; default: the configuration's.")] = "",
    budgets: Annotated[str, typer.Option(help="Budgets, separated by commas; default: the configuration's.")] = "",
    seeds: Annotated[str, typer.Option(help="Fine-tuning seeds, separated by commas; default: the configuration's.")] = "",
    candidates: Annotated[bool, typer.Option(help="All estimators and selectors on pools 0 to 2; chooses the final comparison's.")] = False,
    final: Annotated[bool, typer.Option(help="What the candidates chose, on pools 3 to 7: for once.")] = False,
    measures: Annotated[
        bool, typer.Option(help="Run nothing: which measure of `make validate` told what was selected well; of the candidates by default.")
    ] = False,
    finished: Annotated[bool, typer.Option(help="Run nothing: the tables of the pools that are finished.")] = False,
    again: Annotated[bool, typer.Option(help="Make the final comparison although it was made before.")] = False,
    config: Annotated[Path, typer.Option(help="The embedded experiment that every pool's experiment is made from.")] = Path("config.yaml"),
    json: Json = False,
) -> None:
    """Run the miniature on several pools and gather one table; what is finished is not run again."""
    from equipoise.budgets import parse_budget
    from equipoise.commands.options import cores_of, seeds_of, some_of
    from equipoise.config_file import read_config
    from equipoise.errors import UserError
    from equipoise.estimators import ESTIMATORS, MATES
    from equipoise.miniature.generated_pool import PROFILES
    from equipoise.selectors import selector_names
    from equipoise.study import final_comparison
    from equipoise.study.agreement import measures_of
    from equipoise.study.study import Study, fill_in, pools_so_far, run_study
    from equipoise.study.tables import gather, markdown
    from equipoise.study.task_tables import tables

    base, number = read_config(config), cores_of(cores)
    if measures and final:
        raise UserError("--measures: reads the candidates, or a study with --estimator; leave out --final")
    if finished and (final or measures):
        raise UserError(f"--finished: shows the candidates or a study; leave out {'--final' if final else '--measures'}")
    if candidates or final or (measures and not estimator):
        arms = {"--estimator": estimator, "--selectors": selectors, "--budgets": budgets, "--seeds": seeds}
        named = [option for option, text in arms.items() if text]
        if named or (candidates and final):
            which = "--final" if final and not candidates else "--candidates"
            raise UserError(f"{which}: its arms are fixed; leave out {' '.join(named) or '--final'}")
        asked = final_comparison.CANDIDATE_STUDY
    else:
        asked = Study(
            some_of("--profiles", profiles, PROFILES),
            seeds_of("--pool-seeds", pool_seeds),
            some_of("--estimator", estimator, [*(entry.name for entry in ESTIMATORS), MATES]) if estimator else (),
            some_of("--selectors", selectors, selector_names()) if selectors else (),
            [parse_budget(text) for text in budgets.split(",")] if budgets else (),
            seeds_of("--seeds", seeds) if seeds else (),
        )
    if measures:
        made = measures_of(base, asked)
    elif finished:
        made = tables(pools_so_far(base, asked))
    elif candidates:
        made = final_comparison.run_candidates(base, number)
    elif final:
        made = final_comparison.run_final(base, number, again)
    else:
        pools = run_study(base, asked, number)
        made = tables(pools)
        if asked == Study(list(Study.profiles), list(Study.pool_seeds)):
            fill_in(final_comparison.DOCUMENT, "study", markdown(gather(pools)))
    print_json(made.values) if json else typer.echo(made.text)


@miniature.command("study-pool", epilog="Example:  equipoise miniature study-pool --config results/miniature-study/miniature-clean-1.yaml")
def study_pool(config: Annotated[str, typer.Option(help="One pool's experiment, as the study wrote it.")]) -> None:
    """Make everything of one pool of a study in one process."""
    from equipoise.config_file import read_config
    from equipoise.process import die_with_parent, prepare_process
    from equipoise.store.lease import one_writer
    from equipoise.store.running import keep_record

    experiment, path = read_config(config), Path(config).with_suffix(".json")
    die_with_parent()
    keep_record(experiment.layout.experiment_root, "study")
    prepare_process(experiment, "study")
    from equipoise.study.one_pool import run_pool

    with one_writer(str(path)):
        run_pool(experiment, path)
