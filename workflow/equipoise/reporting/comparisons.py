"""The experiment's arms and what the bootstrap says about them: comparisons, macro averages, ranks, balance.

An arm is a selector at a budget trained for a number of epochs; its runs differ in selection seed and fine-tuning seed. A draw
resamples fine-tuning seeds (the same ones in all arms that share a set of seeds), selection seeds (of seeded selectors, crossed with
the former) and the items of each task (the same ones in all arms).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equipoise.layout import Run
from equipoise.reporting.scores import Evaluation
from equipoise.reporting.statistics import balance, holm, interval, macro_standard_error, resampled_task_scores, seed_weights, two_sided_p

DRAWS = 10_000
BASELINES = ("random", "task_max")
ANCHORS = ("zero_shot", "full", "oracle")
"""Rows that stand beside the competition: no selection, all of the pool, or knowledge no selector has."""
RUNS_FOR_A_CLAIM = 3
LEVEL = 0.05
BOTH, ITEMS = "runs and items", "items only"


@dataclass(frozen=True)
class Arm:
    """Runs that differ in seeds alone; `runs` are places in `Evaluation.runs`."""

    selector: str
    budget: str
    epochs: int
    runs: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        return self.selector, self.budget, self.epochs


def arms_of(runs: Sequence[Run]) -> list[Arm]:
    """Arms in the order in which they first appear."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault((run.selector, run.budget, int(run.epochs)), []).append(place)
    return [Arm(*key, tuple(places)) for key, places in groups.items()]


class Bootstrap:
    """10,000 draws over an evaluation. Deterministic: the generator starts from `seed`."""

    def __init__(self, evaluation: Evaluation, seed: int = 0, draws: int = DRAWS):
        self.evaluation = evaluation
        self.draws = draws
        self.seed = seed
        self.arms = arms_of(evaluation.runs)
        self.scores = evaluation.task_scores()
        self._weights: dict[tuple[object, ...], np.ndarray] = {}

    @cached_property
    def resampled(self) -> np.ndarray:
        """float32 [draws, runs, tasks]: task scores on resampled items."""
        generator = np.random.default_rng([self.seed, 1])
        return resampled_task_scores([self.evaluation.scores[t] for t in self.evaluation.tasks], self.draws, generator)

    def arm(self, selector: str, budget: str, epochs: int) -> Arm | None:
        """The arm, or none when the experiment has no such run."""
        return next((arm for arm in self.arms if arm.key == (selector, budget, epochs)), None)

    def mean(self, arm: Arm) -> np.ndarray:
        """Task scores of an arm, mean over runs: float64 [tasks]."""
        return self.scores[list(arm.runs)].mean(axis=0)

    def arm_draws(self, arm: Arm, resample_runs: bool = True) -> np.ndarray:
        """Resampled task scores of an arm, float32 [draws, tasks]; with `resample_runs` its seeds are resampled too."""
        values = self.resampled[:, list(arm.runs), :]
        if not resample_runs:
            return values.mean(axis=1)
        return np.einsum("dr,drt->dt", self._run_weights(arm), values)

    def _run_weights(self, arm: Arm) -> np.ndarray:
        runs = [self.evaluation.runs[place] for place in arm.runs]
        seeds = sorted({int(run.seed) for run in runs})
        selections = sorted({int(run.selection_seed) for run in runs})
        weights = self._shared("seed", *seeds)[:, [seeds.index(int(run.seed)) for run in runs]]
        if len(selections) > 1:
            chosen = self._shared("selection", *selections)
            weights = weights * chosen[:, [selections.index(int(run.selection_seed)) for run in runs]]
        return weights / weights.sum(axis=1, keepdims=True)

    def _shared(self, kind: str, *labels: int) -> np.ndarray:
        """Weights of a set of seeds: the same in every arm that has this set."""
        key = (kind, *labels)
        if key not in self._weights:
            generator = np.random.default_rng([self.seed, 2 if kind == "seed" else 3, *labels])
            self._weights[key] = seed_weights(len(labels), self.draws, generator)
        return self._weights[key]

    def difference(self, arm: Arm, baseline: Arm) -> dict[str, object]:
        """Macro average of `arm` minus that of `baseline`: difference, 95 % interval, its kind, and p (nan below three runs each)."""
        claim = min(len(arm.runs), len(baseline.runs)) >= RUNS_FOR_A_CLAIM
        draws = (self.arm_draws(arm, claim) - self.arm_draws(baseline, claim)).mean(axis=1)
        low, high = interval(draws)
        return {
            "difference": float((self.mean(arm) - self.mean(baseline)).mean()),
            "low": float(low),
            "high": float(high),
            "interval": BOTH if claim else ITEMS,
            "runs": len(arm.runs),
            "baseline_runs": len(baseline.runs),
            "p": two_sided_p(draws) if claim else float("nan"),
        }


def verdict(difference: float, p_holm: float) -> str:
    """A comparison in words."""
    if np.isnan(p_holm):
        return "no claim: fewer than three runs"
    if p_holm >= LEVEL:
        return "not distinguishable"
    return "higher" if difference > 0 else "lower"


def compare_selectors(bootstrap: Bootstrap, baselines: Sequence[str] = BASELINES) -> list[dict[str, object]]:
    """Every selector against every baseline at each budget and number of epochs; Holm over all comparisons that carry a p-value."""
    rows = []
    for arm in bootstrap.arms:
        for name in baselines:
            baseline = bootstrap.arm(name, arm.budget, arm.epochs)
            if arm.selector in ANCHORS or baseline is None or name == arm.selector or (arm.selector, name) == baselines[:2]:
                continue
            rows.append({"selector": arm.selector, "baseline": name, "budget": arm.budget, "epochs": arm.epochs})
            rows[-1] |= bootstrap.difference(arm, baseline)
    adjust(rows)
    return rows


def adjust(rows: list[dict[str, object]]) -> None:
    """Adds `p_holm` and `verdict` to comparisons, adjusting over all rows that have a p-value."""
    tested = [row for row in rows if not np.isnan(row["p"])]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = float(p)
    for row in rows:
        row.setdefault("p_holm", float("nan"))
        row["verdict"] = verdict(row["difference"], row["p_holm"])


def macro_averages(bootstrap: Bootstrap) -> list[dict[str, object]]:
    """Per arm: macro average, sd over runs, standard error over items (closed form), bootstrap standard error and 95 % interval."""
    rows = []
    for arm in bootstrap.arms:
        macros = bootstrap.scores[list(arm.runs)].mean(axis=1)
        claim = len(arm.runs) >= RUNS_FOR_A_CLAIM
        draws = bootstrap.arm_draws(arm, claim).mean(axis=1)
        low, high = interval(draws)
        scores = [bootstrap.evaluation.scores[task][list(arm.runs)] for task in bootstrap.evaluation.tasks]
        rows.append(
            {
                "selector": arm.selector,
                "budget": arm.budget,
                "epochs": arm.epochs,
                "runs": len(arm.runs),
                "macro": float(macros.mean()),
                "sd": float(macros.std(ddof=1)) if len(macros) > 1 else float("nan"),
                "se_items": macro_standard_error(scores),
                "se": float(draws.std()),
                "low": float(low),
                "high": float(high),
                "interval": BOTH if claim else ITEMS,
            }
        )
    return rows


def competitors(bootstrap: Bootstrap, budget: str) -> list[Arm]:
    """Arms that compete at a budget: no anchors, and the number of epochs most of them share."""
    arms = [arm for arm in bootstrap.arms if arm.budget == budget and arm.selector not in ANCHORS]
    if not arms:
        return []
    epochs = [arm.epochs for arm in arms]
    usual = max(sorted(set(epochs)), key=epochs.count)
    return [arm for arm in arms if arm.epochs == usual]


def ranks(bootstrap: Bootstrap, budgets: Sequence[str]) -> list[dict[str, object]]:
    """Rank by macro average (1 is best) among the arms that compete at a budget: observed, bootstrap mean and 95 % interval."""
    from scipy.stats import rankdata

    rows = []
    for budget in budgets:
        arms = competitors(bootstrap, budget)
        if len(arms) < 2:
            continue
        claim = min(len(arm.runs) for arm in arms) >= RUNS_FOR_A_CLAIM
        draws = np.stack([bootstrap.arm_draws(arm, claim).mean(axis=1) for arm in arms], axis=1)
        resampled = rankdata(-draws, axis=1)
        observed = rankdata([-bootstrap.mean(arm).mean() for arm in arms])
        for place, arm in enumerate(arms):
            low, high = interval(resampled[:, place])
            row = {"selector": arm.selector, "budget": budget, "epochs": arm.epochs, "rank": float(observed[place])}
            row |= {"mean_rank": float(resampled[:, place].mean()), "low": float(low), "high": float(high)}
            rows.append(row | {"best_share": float((resampled[:, place] == 1).mean()), "interval": BOTH if claim else ITEMS})
    return rows


def balances(bootstrap: Bootstrap) -> list[dict[str, object]]:
    """Balance of every arm that has a `random` arm beside it: sd and minimum over tasks of the gain over random, with intervals."""
    rows = []
    tasks = bootstrap.evaluation.tasks
    for arm in bootstrap.arms:
        baseline = bootstrap.arm("random", arm.budget, arm.epochs)
        if baseline is None or arm.selector == "random":
            continue
        claim = min(len(arm.runs), len(baseline.runs)) >= RUNS_FOR_A_CLAIM
        gains = bootstrap.mean(arm) - bootstrap.mean(baseline)
        spread, minimum = balance(gains)
        drawn_spread, drawn_minimum = balance(bootstrap.arm_draws(arm, claim) - bootstrap.arm_draws(baseline, claim))
        row = {"selector": arm.selector, "budget": arm.budget, "epochs": arm.epochs, "mean_gain": float(gains.mean())}
        row |= {"sd": float(spread), "sd_low": float(interval(drawn_spread)[0]), "sd_high": float(interval(drawn_spread)[1])}
        row |= {"minimum": float(minimum), "worst_task": tasks[int(gains.argmin())]}
        row |= {"minimum_low": float(interval(drawn_minimum)[0]), "minimum_high": float(interval(drawn_minimum)[1])}
        rows.append(row | {"interval": BOTH if claim else ITEMS} | {f"gain_{t}": float(g) for t, g in zip(tasks, gains, strict=True)})
    return rows
