"""All runs on a selector's selections in one process: the same stages, one start-up (a start costs seconds, a small run hardly more)."""

from pathlib import Path

from equipoise.budgets import budget_rows, parse_budget
from equipoise.config import Experiment
from equipoise.experiment import evaluations, folds
from equipoise.layout import Run
from equipoise.progress import track
from equipoise.store.artefact import open_artefact, publish


def fine_tune_and_evaluate(config: Experiment, selector: str, selection_seed: int) -> None:
    """Makes every missing run of `selector` by `selection_seed`, evaluates it, and writes the fold manifest with all digests last.

    A run whose training does not stay finite is a result too: its manifest, its scores and the fold's `failed` say why.
    """
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.evaluation.session import Session
    from equipoise.modelling.base import load_base, resolve_device
    from equipoise.training.divergence import failure
    from equipoise.training.fine_tune import fine_tune

    layout = config.layout
    runs = folds(config)[selector, selection_seed]
    base = load_base(config.model, config.model.precision, resolve_device(config.model.device))
    session = Session(config, base)
    scores, failed = [], {}
    rows = {run: _rows(config, run) for run in runs}
    for run in track(runs, f"runs of {selector}", sum(rows.values()), "rows of training", rows.__getitem__, holds_loops=True):
        if run.trained:
            fine_tune(config, run, base)
            if reason := failure(config, run):
                failed[run.path] = reason
        for suite, suite_seed in evaluations(config):
            evaluate(config, run, suite, suite_seed, session)
            scores.append(layout.scores(run, suite, suite_seed))
    said = {"failed": failed} if failed else {}
    of, made = {"selector": selector, "selection_seed": selection_seed}, [run.path for run in runs]
    publish(config, "fold", of, scores, selector=selector, selection_seed=selection_seed, runs=made, **said)


def _rows(config: Experiment, run: Run) -> int:
    """About how many rows a run trains on, and one for its evaluation; none where it is done."""
    if all(Path(config.layout.scores(run, *evaluation)).exists() for evaluation in evaluations(config)):
        return 0
    return 1 + int(run.epochs) * budget_rows(parse_budget(run.budget), open_artefact(config, "pool")["rows"])
