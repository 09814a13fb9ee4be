"""The stage validate_influence: what every candidate is worth by each measure, with intervals, from the trials.

The measures: method.md, "Validation of estimators".

Layout.validation, kind `validation`: reference (the experiment's own estimator), candidates ({name, label}), results, excluded, ceiling.
A result is measure (`one_step`, `subsets`, `without`, `only`), share (of the last two), candidate, value with low and high (95 %),
difference from the reference with low and high, and by_task. Layout.validation_points holds, for the figures, `<measure>.true`,
`<measure>.<candidate>` and `one_step.shared`, float32.
"""

from pathlib import Path

import numpy as np

from equipoise.comparison import ONLY, RANDOM, SUBSET, WITHOUT, Candidate, Retraining, candidates, groups, removal_tasks, retrainings
from equipoise.config import Experiment
from equipoise.experiment import step_epochs
from equipoise.files import atomic_path, file_digest
from equipoise.progress import log
from equipoise.seeds import derive_seed
from equipoise.store.artefact import publish
from equipoise.store.manifest import fingerprint
from equipoise.validation.candidates import Predictions
from equipoise.validation.drawing import subset_rows
from equipoise.validation.examples import column_tasks, subset_strata, usable_rows
from equipoise.validation.measure_one_step import measure_one_step, read_one_step
from equipoise.validation.results import ENOUGH, Compared, Result, as_text, compared_correlations, compared_effects
from equipoise.validation.retrain import Shared, read_losses, retrain
from equipoise.validation.statistics import ceiling, resamples

KIND = "validation"


def validate_influence(config: Experiment) -> str:
    """Makes the trials that are missing, writes results and points, and returns the table as text.

    Warns where seeds agree too little for estimators to be judged by retrainings. Raises `UserError` for missing matrices and checkpoints.
    """
    for each in candidates(config):
        Predictions(config, each)  # raises for one that is not there, before hours of training
    if config.validation.one_step.rows:
        measure_one_step(config, step_epochs(config))
    shared = Shared(config)
    for group in groups(config):
        retrain(config, group, shared=shared)
    made = _Comparison(config)
    results = [*made.one_step(), *made.subsets(), *made.removal()]
    layout = config.layout
    _write_points(layout.validation_points, made.points)
    publish(
        config,
        KIND,
        {},
        [layout.validation_points],
        reference=config.gradients.estimator,
        candidates=[{"name": each.name, "label": each.label} for each in candidates(config)],
        results=[result.as_values() for result in results],
        ceiling=made.ceiling,
        excluded=made.excluded,
        fingerprint=fingerprint(made.inputs()),
    )
    return as_text(config.gradients.estimator, results, made.ceiling)


class _Comparison:
    """Results by measure; points: what the figures show; excluded: rows, subsets and retrainings that could not take part."""

    def __init__(self, config: Experiment):
        self._config, self._compared = config, candidates(config)
        self._tasks, self._usable = column_tasks(config), usable_rows(config)
        self.points: dict[str, np.ndarray] = {}
        self.excluded: dict[str, int] = {}
        self.ceiling: dict[str, object] | None = None

    def inputs(self) -> list[str]:
        """Digests of all trials and matrices that the results are made from."""
        layout, made = self._config.layout, [self._predictions(each).identity for each in self._compared]
        made += [file_digest(layout.retraining(each.group, each.name)) for each in retrainings(self._config)]
        return made + [file_digest(layout.one_step_manifest(e)) for e in step_epochs(self._config) if self._config.validation.one_step.rows]

    def _predictions(self, each: Candidate) -> Predictions:
        return Predictions(self._config, each)

    def _draws(self, measure: str, rows: int, tasks: np.ndarray):
        return resamples(rows, tasks, derive_seed(self._config.seed, "validation", "bootstrap", measure))

    def one_step(self) -> list[Result]:
        """Fall of the losses by single steps, added up over epochs and warm-ups, against what is predicted of the rows."""
        if not self._config.validation.one_step.rows:
            return []
        epochs = [read_one_step(self._config, epoch) for epoch in step_epochs(self._config)]
        rows = epochs[0].rows
        fall = sum(each.before - each.after for each in epochs)
        predicted = {each.name: self._predictions(each).of_rows(rows) for each in self._compared}
        whole = np.isfinite(fall).all(axis=1) & np.all([np.isfinite(values).all(axis=1) for values in predicted.values()], axis=0)
        self.excluded["one_step rows"] = int((~whole).sum())
        momentum = sum(each.before - each.without_gradient for each in epochs)
        self.points |= {"one_step.true": fall[whole], "one_step.shared": momentum}
        self.points |= {f"one_step.{name}": values[whole] for name, values in predicted.items()}
        draws = self._draws("one_step", int(whole.sum()), self._tasks)
        return self._correlations("one_step", {name: values[whole] for name, values in predicted.items()}, fall[whole], draws)

    def subsets(self) -> list[Result]:
        """Losses after retrainings on subsets, averaged over seeds, against the sums of what is predicted (LDS)."""
        settings = self._config.validation.subsets
        if not settings.count:
            return []
        losses = np.array(
            [[read_losses(self._config, Retraining(SUBSET, seed, number=n)) for n in range(settings.count)] for seed in settings.seeds]
        )
        whole = np.isfinite(losses).all(axis=(0, 2))
        self.excluded["subsets"] = int((~whole).sum())
        losses = losses[:, whole]
        strata = subset_strata(self._config, self._usable)
        drawn = [subset_rows(self._usable, settings.share, number, self._config.seed, strata) for number in np.flatnonzero(whole)]
        predicted = {each.name: self._predictions(each).sums(drawn) for each in self._compared}
        fall = -losses.mean(axis=0)
        self.points |= {"subsets.true": fall} | {f"subsets.{name}": values for name, values in predicted.items()}
        if len(settings.seeds) > 1:
            self._tell_ceiling(ceiling(losses))
        return self._correlations("subsets", predicted, fall, self._draws("subsets", len(drawn), self._tasks))

    def _tell_ceiling(self, values: np.ndarray) -> None:
        by_task = {task: round(float(values[self._tasks == task].mean()), 6) for task in self._config.tasks}
        self.ceiling = {"mean": round(float(values.mean()), 6), "by_task": by_task}
        if self.ceiling["mean"] < ENOUGH:
            settings = self._config.validation.subsets
            stratified = "" if settings.strata == "source" else ", or validation.subsets.strata: source"
            log(
                f"warning: losses after retrainings on subsets agree between seeds by {self.ceiling['mean']:.2f} (ceiling of LDS), below "
                f"{ENOUGH:g}: too little to judge any estimator by; write more validation.subsets.seeds ({len(settings.seeds)} now) or a "
                f"larger validation.subsets.count ({settings.count}){stratified}"
            )

    def removal(self) -> list[Result]:
        """Losses after retrainings without, or only with, the most helpful rows against those with random ones."""
        settings, found = self._config.validation.removal, []
        columns = np.flatnonzero(np.isin(self._tasks, removal_tasks(self._config)))
        for kind, shares in ((WITHOUT, settings.without), (ONLY, settings.only)):
            for share in shares:
                random = np.array([self._of_seeds(Retraining(kind, 0, share=share, number=n))[columns] for n in range(settings.draws)])
                finite = np.isfinite(random).all(axis=1)
                self.excluded[f"random choices {kind} {share:g}"] = int((~finite).sum())
                chosen = {each.name: self._chosen(kind, share, each)[columns] for each in self._compared if each.name != RANDOM}
                tasks, sign = self._tasks[columns], 1 if kind == WITHOUT else -1
                draws = self._draws(f"{kind} {share:g}", max(1, int(finite.sum())), tasks)
                compared = Compared(kind, self._config.gradients.estimator, tasks, draws, share)
                found += compared_effects(compared, chosen, random[finite], sign)
        return found

    def _chosen(self, kind: str, share: float, each: Candidate) -> np.ndarray:
        """Losses [V], those of a task's columns after the retraining for that task."""
        if not each.by_task:
            return self._of_seeds(Retraining(kind, 0, each.name, share))
        found = np.full(len(self._tasks), np.nan)
        for task in removal_tasks(self._config):
            own = self._tasks == task
            found[own] = self._of_seeds(Retraining(kind, 0, each.name, share, task=task))[own]
        return found

    def _of_seeds(self, each: Retraining) -> np.ndarray:
        seeds = self._config.validation.removal.seeds
        made = [Retraining(each.kind, seed, each.of, each.share, each.number, each.task) for seed in seeds]
        return np.mean([read_losses(self._config, one) for one in made], axis=0)

    def _correlations(self, measure: str, predicted: dict[str, np.ndarray], true: np.ndarray, draws) -> list[Result]:
        return compared_correlations(Compared(measure, self._config.gradients.estimator, self._tasks, draws), predicted, true)


def _write_points(path: str, points: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        save_file({name: np.ascontiguousarray(values, np.float32) for name, values in points.items()}, part)
