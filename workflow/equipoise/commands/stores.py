"""`equipoise verify` and `equipoise audit-gradients`: is what the stores hold complete, and is it right?"""

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise.commands.panels import MAINTENANCE, Json, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.store.verify import Checked

app = typer.Typer()


@app.command(rich_help_panel=MAINTENANCE, epilog="Example:  equipoise verify results")
def verify(
    path: Annotated[str, typer.Argument(help="A gradient store, a manifest, or a folder with any of them below.")],
    heal: Annotated[bool, typer.Option("--heal", help="Remove what is damaged and its manifests; the next run makes it again.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name what is sound too.")] = False,
    json: Json = False,
) -> None:
    """Reads every file, chunk and manifest at or below PATH and names what is damaged (exit status 1)."""
    from equipoise.modelling.base import weight_defects
    from equipoise.store.verify import heal as remove
    from equipoise.store.verify import verify as check

    found = []
    for checked in check(path, weight_defects):
        if not json and (verbose or checked.defects):
            typer.echo(f"{'DAMAGED' if checked.defects else 'ok':8}{checked.what}")
            for defect in checked.defects:
                typer.echo(f"        {defect}")
        found.append(checked)
    defects = sum(len(checked.defects) for checked in found)
    if json:
        removed = remove(found) if heal and defects else []
        checks = [{"what": checked.what, "defects": checked.defects} for checked in found]
        print_json({"sound": not defects, "checked": checks, "removed": [str(path) for path in removed]})
        if defects and not heal:
            raise typer.Exit(1)
        return
    typer.echo(f"read: {_counts(found)}")
    if not defects:
        typer.echo(f"All is sound: {len(found)} artefacts and stores were read, and each is what its manifest says.")
        return
    if not heal:
        again = f"`equipoise verify --heal {shlex.quote(path)}` removes what is damaged, and the next run of the workflow makes it again"
        typer.echo(f"{defects} defects in {len(found)} artefacts and stores; {again}.", err=True)
        raise typer.Exit(1)
    removed = remove(found)
    typer.echo(f"{defects} defects: removed {len(removed)} files; run the workflow, which makes them again.")


def _counts(found: "Sequence[Checked]") -> str:
    """How many there are of every kind, and how many of them are damaged."""
    read, damaged = Counter(each.kind for each in found), Counter(each.kind for each in found if each.defects)
    return ", ".join(f"{kind} {count:,}{f' ({damaged[kind]:,} damaged)' if damaged[kind] else ''}" for kind, count in read.items())


@app.command(
    "audit-gradients", rich_help_panel=MAINTENANCE, epilog="Example:  equipoise audit-gradients --config config.yaml --epoch 1 --rows 8"
)
def audit_gradients(
    config: Annotated[str, typer.Option("--config", help="An experiment's YAML.")],
    epoch: Annotated[str, typer.Option(help="Epoch checkpoint, of a further warm-up as 1-seed-7; default: the first.")] = "",
    task: Annotated[str, typer.Option(help="A target task; default: the pool.")] = "",
    rows: Annotated[int, typer.Option(min=1, help="Number of rows to recompute.")] = 16,
    seed: Annotated[int, typer.Option(help="Draws the rows.")] = 0,
    json: Json = False,
) -> None:
    """Recomputes some stored gradients in fp32, one example at a time, and prints the cosines."""
    from equipoise.commands.options import one_of
    from equipoise.config_file import read_config
    from equipoise.experiment import epochs
    from equipoise.process import prepare_process

    experiment = read_config(config)
    named = {str(each): each for each in epochs(experiment)}
    at = named[one_of("--epoch", epoch or next(iter(named)), named)]
    if task:
        one_of("--task", task, experiment.tasks)
    prepare_process(experiment, "collect_pool_gradients")
    from equipoise.gradients.audit_gradients import audit

    audited = audit(experiment, at, task or None, rows, seed)
    if json:
        print_json([vars(one) for one in audited])
        return
    typer.echo(f"{'row':>9}  {'cosine':>10}  {'norm':>9}  {'loss':>9}   (norm and loss: stored over recomputed)")
    for one in audited:
        typer.echo(f"{one.row:9}  {one.cosine:10.7f}  {one.norm_ratio:9.6f}  {one.loss_ratio:9.6f}")
    cosines = sorted(one.cosine for one in audited)
    typer.echo(f"{len(audited)} rows: smallest cosine {cosines[0]:.7f}, median {cosines[len(cosines) // 2]:.7f}")
