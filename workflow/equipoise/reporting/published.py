"""The paper's numbers, kept as data with their source in workflow/report/published/, and which arms of an experiment they match."""

import csv
from collections.abc import Sequence

from equipoise import benchmarks
from equipoise.config import Experiment
from equipoise.experiment import experiment_runs, measured_tasks
from equipoise.layout import Run
from equipoise.measures import ACCURACY
from equipoise.reporting.arms import arms_of
from equipoise.shipped import WORKFLOW

FOLDER = WORKFLOW / "report" / "published"
BENCHMARKS = tuple(entry.published for entry in benchmarks.BENCHMARKS.values() if entry.published)
THI_BUDGET = "0.1"


def published_scores() -> list[dict[str, str]]:
    """Tables 1 to 4 of the paper: model, budget_percent, selector, epochs, seven benchmarks, macro_avg, source."""
    return _read("scores.csv")


def published_counts() -> list[dict[str, str]]:
    """Figures 2, 3, 7 and 8 of the paper: fig, model, selector, definition, counts of seven benchmarks, source."""
    return _read("thi_10percent.csv")


def _read(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def benchmark_of(config: Experiment) -> dict[str, str]:
    """Task -> the paper's benchmark it is; a task over own files is one only by its name and with one of the paper's models."""
    models = {row["model"] for row in published_scores()}
    names = {}
    for task, settings in config.tasks.items():
        name = task if settings.benchmark == "jsonl" and config.model.name in models else settings.benchmark
        if name in BENCHMARKS:
            names[task] = name
    return names


def matches(config: Experiment) -> dict[tuple[str, str, int], dict[str, str]]:
    """Arm (selector, budget, epochs) -> the paper's line for the same model, budget share, selector and epochs."""
    published = {
        (row["selector"], float(row["budget_percent"]) / 100, int(row["epochs"])): row for row in _of_model(config, published_scores())
    }
    matched = {}
    for arm in arms_of(experiment_runs(config)):
        row = published.get((arm.selector, float(arm.budget), arm.epochs)) if "." in arm.budget else None
        if row is not None:
            matched[arm.key] = row
    return matched


def has_published(config: Experiment, runs: Sequence[Run] | None = None) -> bool:
    """Whether the paper has numbers for an arm of these runs (none: of all) and for a benchmark that the experiment evaluates."""
    left = {arm.key for arm in arms_of(experiment_runs(config) if runs is None else runs)}
    return any(task in measured_tasks(config, ACCURACY) for task in benchmark_of(config)) and not left.isdisjoint(matches(config))


def matched_thi(config: Experiment, budget: str) -> dict[str, dict[str, str]]:
    """Selector -> the paper's line of THI counts, of the experiment's selectors where model and budget match."""
    if budget != THI_BUDGET or not benchmark_of(config):
        return {}
    return {row["selector"]: row for row in _of_model(config, published_counts()) if row["selector"] in config.selectors}


def thi_shares(config: Experiment, selector: str, budget: str) -> dict[str, float]:
    """Task -> share of the paper's selection whose highest influence is on it; empty unless model, selector and budget match."""
    row = matched_thi(config, budget).get(selector)
    if row is None:
        return {}
    total = sum(int(row[name]) for name in BENCHMARKS)
    return {task: int(row[name]) / total for task, name in benchmark_of(config).items()}


def _of_model(config: Experiment, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["model"] == config.model.name]
