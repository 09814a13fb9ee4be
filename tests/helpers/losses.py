"""Held-out losses beside the accuracies of a made experiment."""

import json
from pathlib import Path

import numpy as np

from equipoise.config_file import write_config
from equipoise.experiment import experiment_runs
from equipoise.store.artefact import publish
from equipoise.store.kind import scores_names
from equipoise.store.manifest import fingerprint

LOSSES = {"zero_shot": 3.0, "random": 2.0, "task_max": 2.1, "bids": 1.5, "full": 1.8}


def with_losses(config, losses=LOSSES, items=40, measure="both"):
    """The experiment with held-out losses of its suites' items beside the accuracies: each selector has a level of its own."""
    for settings in config.suites.values():
        settings.measure = measure
        if measure == "loss":
            settings.seeds = [0]
    write_config(config, config.layout.config)
    hard = np.random.default_rng(1).gamma(2.0, 0.3, items)
    for number, run in enumerate(experiment_runs(config)):
        draw = np.random.default_rng([2, number])
        for suite in config.suites:
            lines, scores = [], {}
            for task in (name for name, each in config.tasks.items() if each.suite == suite):
                own = losses[run.selector] + hard + draw.normal(0, 0.02) + draw.normal(0, 0.05, items)
                keys = {"task": task, "lm_eval_task": task, "prompt": "p", "target": "t", "tokens": 3}
                lines += [keys | {"doc_id": i, "content_hash": fingerprint([task, i])[:16], "score": float(own[i])} for i in range(items)]
                scores[task] = {"metric": "held_out_loss", "score": float(own.mean()), "stderr": 0.1, "items": items}
            path = Path(config.layout.samples(run, suite, "loss"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            publish(config, "scores", scores_names(run, suite, "loss"), [path], run=vars(run), tasks=scores, fingerprint="")
    return config
