"""All runs on a selector's selections in one process: the same stages, one start-up (a start costs seconds, a small run hardly more)."""

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import evaluations, folds
from equipoise.files import file_digest
from equipoise.progress import log, track
from equipoise.store.manifest import write_manifest


def fine_tune_and_evaluate(config: Experiment, selector: str, selection_seed: int) -> None:
    """Makes every missing run of `selector` by `selection_seed`, evaluates it, and writes the fold manifest with all digests last.

    A run whose training diverges is recorded in its manifest and left out; the others go on. Raises `UserError` when the experiment has
    no such runs, and at the end when a run has failed.
    """
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.evaluation.session import Session
    from equipoise.modelling.base import load_base, resolve_device
    from equipoise.training.divergence import Diverged
    from equipoise.training.fine_tune import fine_tune

    layout = config.layout
    runs = folds(config).get((selector, selection_seed))
    if runs is None:
        known = ", ".join(f"{name} {seed}" for name, seed in folds(config))
        raise UserError(f"no runs of selector {selector!r} by selection seed {selection_seed}; the experiment has {known}")
    base = load_base(config.model, config.model.precision, resolve_device(config.model.device))
    session = Session(config, base)
    digests, failed = {}, []
    for run in track(runs, f"runs of {selector}", len(runs), "runs"):
        try:
            if run.trained:
                fine_tune(config, run, base)
        except Diverged as error:
            log(f"failed: {error}")
            failed.append(str(error))
            continue
        for suite, suite_seed in evaluations(config):
            evaluate(config, run, suite, suite_seed, session)
            digests[layout.scores(run, suite, suite_seed)] = file_digest(layout.scores(run, suite, suite_seed))
    if failed:
        others = f"; the other {len(runs) - len(failed)} runs of {selector} are done and stay" if len(failed) < len(runs) else ""
        raise UserError(f"{failed[0]} ({len(failed)} of {len(runs)} runs failed{others})")
    manifest = layout.fold_manifest(selector, selection_seed)
    write_manifest(manifest, "fold", selector=selector, selection_seed=selection_seed, runs=[run.path for run in runs], scores=digests)
