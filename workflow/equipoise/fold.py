"""All runs of one selector in one process: the same stages, one start-up (a start costs seconds, a small run hardly more)."""

from equipoise.config import Experiment
from equipoise.layout import Layout
from equipoise.progress import track
from equipoise.runs import ZERO_SHOT, evaluations, runs_of
from equipoise.store.manifest import file_digest, write_manifest


def fine_tune_and_evaluate(config: Experiment, selector: str) -> None:
    """Makes every run of `selector` that is missing, evaluates it, and writes the fold manifest with all digests last."""
    from equipoise.evaluation.evaluate import evaluate
    from equipoise.evaluation.session import Session
    from equipoise.modelling.base import load_base, resolve_device
    from equipoise.training.fine_tune import fine_tune

    layout = Layout(config.results, config.experiment, config.model.name)
    base = load_base(config.model, config.model.precision, resolve_device(config.model.device))
    session = Session(config)
    digests = {}
    runs = runs_of(config, selector)
    for run in track(runs, f"runs of {selector}", len(runs), "runs"):
        if selector != ZERO_SHOT:
            fine_tune(config, run, base)
        for suite, suite_seed in evaluations(config):
            evaluate(config, run, suite, suite_seed, session)
            digests[layout.scores(run, suite, suite_seed)] = file_digest(layout.scores(run, suite, suite_seed))
    write_manifest(layout.fold_manifest(selector), "fold", selector=selector, runs=[run.path for run in runs], scores=digests)
