"""A tiny experiment whose estimators are compared: everything that `validate_influence` reads, made by the stages themselves."""

from pathlib import Path

from equipoise.attribution.seal import attribute
from equipoise.comparison import compared
from equipoise.config import Experiment
from helpers.gradient_experiment import collect_all, make_experiment

SIZES = {
    "one_step": {"rows": 5},
    "subsets": {"count": 4, "seeds": [0, 1]},
    "removal": {"without": [0.2], "only": [0.2], "tasks": ["beta"], "draws": 2},
}


def make_comparison(folder: Path, estimators: list[str], **sections: object) -> Experiment:
    """16 pool rows, two tasks of three validation examples, two epochs; matrices of these estimators, `less` among them."""
    own = {"training": {"batch_size": 16, "micro_batch_size": 8}, "finetune": {"epochs": 3}}
    config = make_experiment(folder, rows=16, validation={"estimators": estimators, **SIZES}, **(own | sections))
    for each in compared(config):
        collect_all(each, [1, 2], list(config.tasks))
        attribute(each)
    return config
