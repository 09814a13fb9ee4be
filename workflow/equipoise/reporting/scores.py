"""Reads the evaluations of all runs of an experiment: item scores for the statistics, task scores for the tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import experiment_runs, measured, measured_tasks, suite_parts
from equipoise.layout import Run
from equipoise.measures import ACCURACY, Measure
from equipoise.reporting.statistics import task_scores
from equipoise.store.artefact import open_artefact
from equipoise.store.kind import scores_names

SCORE_TOLERANCE = 0.05  # points; lm-eval and a mean over logged items may round differently, nothing more

ItemKey = tuple[str, str, str]
"""lm-eval task, document id, content hash."""


@dataclass(frozen=True)
class Evaluation:
    """All item scores of an experiment.

    tasks: evaluated target tasks in config order. runs: in table order. items: task -> keys of its items.
    scores: task -> float32 [runs, suite seeds, items], each in 0..1 (a loss: in nats), items in the order of `items[task]` for every run.
    rows: one mapping per run, suite seed and task, as in scores.csv. failed: runs without an adapter, in none of the others, and why.
    measure: what the scores are. sandboxes: modes and versions of what model-written programs ran in.
    """

    tasks: tuple[str, ...]
    runs: tuple[Run, ...]
    items: dict[str, tuple[ItemKey, ...]]
    scores: dict[str, np.ndarray]
    rows: list[dict[str, object]]
    failed: dict[Run, str] = field(default_factory=dict)
    measure: Measure = ACCURACY
    sandboxes: tuple[str, ...] = ()

    def task_scores(self) -> np.ndarray:
        """Scores in the measure's unit, float64 [runs, tasks]: mean over items, median over the suite's seeds."""
        return task_scores([self.scores[task] for task in self.tasks], self.measure.scale)


def read_evaluation(config: Experiment, measure: Measure | None = None, runs: Sequence[Run] | None = None) -> Evaluation:
    """Reads scores and samples of runs (none: of every one in `experiment_runs(config)`); those whose training failed count in no mean.

    measure: what is read; none: the first that the experiment has. Raises `UserError` when a file is missing, when all runs have failed,
    when a run was evaluated on other items than the first one, or when the logged items do not give the recorded score.
    """
    runs, there = experiment_runs(config) if runs is None else list(runs), measured(config)
    if not there:
        raise UserError("tasks: none names a suite, so there is nothing to report; write tasks.<name>.suite")
    measure = measure or there[0]
    tasks = measured_tasks(config, measure)
    failed = _failed(config, runs, tasks, measure)
    runs = [run for run in runs if run not in failed]
    if not runs:
        if not failed:
            raise UserError("no run is finished")
        raise UserError(f"all {len(failed)} runs have failed, the first: {next(iter(failed.values()))}")
    items: dict[str, tuple[ItemKey, ...]] = {}
    scores: dict[str, np.ndarray] = {}
    rows: list[dict[str, object]] = []
    sandboxes: set[str] = set()
    for number, run in enumerate(runs):
        for suite in dict.fromkeys(config.tasks[task].suite for task in tasks):
            suite_tasks = [task for task in tasks if config.tasks[task].suite == suite]
            parts = suite_parts(config.suites[suite], measure)
            for place, part in enumerate(parts):
                scores_of = open_artefact(config, "scores", **scores_names(run, suite, part))
                recorded, path = scores_of["tasks"], str(scores_of.only_file())
                if within := scores_of.get("sandbox"):
                    sandboxes.add(f"{within['mode']} ({within['version']})")
                logged = _read_samples(path, suite_tasks)
                for task in suite_tasks:
                    keys, values = logged[task]
                    if task not in items:
                        items[task] = keys
                        scores[task] = np.full((len(runs), len(parts), len(keys)), np.nan, np.float32)
                    elif keys != items[task]:
                        raise UserError(f"{path}: task {task} was evaluated on other items than {runs[0].path}; evaluate both again")
                    scores[task][number, place] = values
                    rows.append(_row(config, run, suite, part, task, recorded[task], measure))
                    _check(path, task, float(values.mean(dtype=np.float64)) * measure.scale, float(recorded[task]["score"]), measure)
    return Evaluation(tuple(tasks), tuple(runs), items, scores, rows, failed, measure, tuple(sorted(sandboxes)))


def _failed(config: Experiment, runs: list[Run], tasks: list[str], measure: Measure) -> dict[Run, str]:
    """Why runs have no scores, by run."""
    suite = config.tasks[tasks[0]].suite
    part = suite_parts(config.suites[suite], measure)[0]
    first = {run: open_artefact(config, "scores", **scores_names(run, suite, part)).get("failed") for run in runs}
    return {run: reason for run, reason in first.items() if reason}


def _read_samples(path: str, tasks: list[str]) -> dict[str, tuple[tuple[ItemKey, ...], np.ndarray]]:
    """task -> (keys sorted, item scores float32 in that order) of one samples file."""
    by_task: dict[str, list[tuple[ItemKey, float]]] = {task: [] for task in tasks}
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                sample = json.loads(line)
                if sample["task"] in by_task:
                    key = (sample["lm_eval_task"], str(sample["doc_id"]), sample["content_hash"])
                    by_task[sample["task"]].append((key, float(sample["score"])))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run the stage evaluate for this run") from None
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: not a file of samples ({error!r}); delete it and evaluate again") from None
    for task, pairs in by_task.items():
        if not pairs:
            raise UserError(f"{path}: no item of task {task}; delete it and evaluate again")
        pairs.sort()
    return {task: (tuple(key for key, _ in pairs), np.array([score for _, score in pairs], np.float32)) for task, pairs in by_task.items()}


def _check(path: str, task: str, from_items: float, recorded: float, measure: Measure) -> None:
    if abs(from_items - recorded) > SCORE_TOLERANCE * measure.scale / ACCURACY.scale * max(1.0, abs(recorded) / measure.scale):
        raise UserError(
            f"{path}: items of {task} give {from_items:.2f}, the scores file says {recorded:.2f}; delete both and evaluate again"
        )


def _row(
    config: Experiment, run: Run, suite: str, part: int | str, task: str, recorded: dict[str, object], measure: Measure
) -> dict[str, object]:
    return {
        "experiment": config.experiment,
        "model": config.model.name,
        "selector": run.selector,
        "selection_seed": run.selection_seed,
        "budget": run.budget,
        "epochs": run.epochs,
        "seed": run.seed,
        "suite": suite,
        "suite_seed": part if isinstance(part, int) else None,
        "task": task,
        "capability": config.tasks[task].capability,
        "measure": measure.name,
        "metric": recorded["metric"],
        "score": recorded["score"],
        "stderr": recorded.get("stderr"),
        "items": recorded["items"],
    }


def read_answers(config: Experiment, run: Run, task: str) -> dict[ItemKey, dict[str, object]]:
    """Logged samples of one run and task at the suite's first seed, by item key."""
    suite = config.tasks[task].suite
    part = suite_parts(config.suites[suite])[0]
    path = open_artefact(config, "scores", **scores_names(run, suite, part)).only_file()
    answers = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            sample = json.loads(line)
            if sample["task"] == task:
                answers[(sample["lm_eval_task"], str(sample["doc_id"]), sample["content_hash"])] = sample
    return answers
