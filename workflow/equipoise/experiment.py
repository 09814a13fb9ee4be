"""Which runs an experiment consists of: pure, read by the Snakefile, the stages and the report."""

from equipoise.budgets import budget_label
from equipoise.config import Experiment
from equipoise.layout import Run
from equipoise.selectors import selector

FULL_BUDGET = "1.0"
ZERO_SHOT = "zero_shot"


def selection_seeds(config: Experiment, selector_name: str) -> list[int]:
    """Selection seeds of a selector: `selection.seeds` for a seeded one, a single 0 for the others."""
    return list(config.selection.seeds) if selector(selector_name).seeded else [0]


def experiment_runs(config: Experiment) -> list[Run]:
    """Every run of the experiment once, in table order: zero-shot, then selector by selector, then the extra ones."""
    runs = [Run(ZERO_SHOT, 0, FULL_BUDGET, 0, 0)] if config.finetune.zero_shot else []
    for name in config.selectors:
        runs += _full_runs(config) if name == "full" else _swept_runs(config, name)
    for extra in config.finetune.extra:
        runs += _runs(config, extra.selector, budget_label(extra.budget), extra.epochs)
    return list(dict.fromkeys(runs))


def folds(config: Experiment) -> dict[tuple[str, int], list[Run]]:
    """Runs by (selector, selection seed), `zero_shot` included, in table order: what one job makes under `jobs.runs: together`."""
    found: dict[tuple[str, int], list[Run]] = {}
    for run in experiment_runs(config):
        found.setdefault((run.selector, run.selection_seed), []).append(run)
    return found


def evaluations(config: Experiment) -> list[tuple[str, int]]:
    """Every (suite, generation seed) a run is evaluated with: the suites that some task names."""
    used = dict.fromkeys(task.suite for task in config.tasks.values() if task.suite)
    return [(suite, seed) for suite in used for seed in config.suites[suite].seeds]


def _full_runs(config: Experiment) -> list[Run]:
    return [run for epochs in config.finetune.full_epochs for run in _runs(config, "full", FULL_BUDGET, epochs)]


def _swept_runs(config: Experiment, name: str) -> list[Run]:
    return [run for budget in config.budgets for run in _runs(config, name, budget_label(budget), config.finetune.epochs)]


def _runs(config: Experiment, name: str, budget: str, epochs: int) -> list[Run]:
    return [Run(name, s, budget, epochs, seed) for s in selection_seeds(config, name) for seed in config.finetune.seeds]
