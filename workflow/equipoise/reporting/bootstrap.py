"""What the bootstrap says about an experiment's arms: comparisons, macro averages, ranks, balance.

A draw resamples the items of each task (the same ones in all arms) and, arm by arm, the fine-tuning seeds crossed with the selection
seeds of seeded selectors. Arms are paired by items alone: training on other rows, a seed's luck is another one, and where it is not,
drawing seeds apart errs on the wide side.

No bootstrap of crossed effects is exact (McCullagh 2000, Bernoulli 6:285). Two errors oppose each other here: the chance of a single
run on a single item is counted in both resamplings, which widens, and three to five seeds hold few values to draw from, which narrows
where runs scatter more than their items explain. `pytest -s tests/unit/reporting/test_coverage.py` prints how often 95 % intervals
hold the truth in either case. The bootstrap's p-value suffers more: with three separated seeds per side, no draw has the other sign. A
claim therefore rests on the larger of it and of that of Welch's t-test over runs, which knows how little few runs say.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import numpy as np

from equipoise.reporting.arms import Arm, arms_of, balance_pairs, baseline_pairs, competitors, rival_pairs
from equipoise.reporting.scores import Evaluation
from equipoise.reporting.statistics import (
    balance,
    draws_interval,
    holm,
    interval,
    macro_standard_error,
    resampled_scores,
    runs_interval,
    runs_p,
    seed_weights,
    two_sided_p,
)
from equipoise.reporting.verdicts import BOTH, ITEMS, RUNS_FOR_A_CLAIM, adjust
from equipoise.seeds import derive_seed

DRAWS = 10_000


class Bootstrap:
    """10,000 draws over an evaluation, deterministic in `seed`.

    item_seeds: task -> seed of its item draws, where it must differ from the usual one (two evaluations with other items).
    side: distinguishes the two evaluations of one comparison, so that their runs are drawn independently.
    """

    def __init__(
        self, evaluation: Evaluation, seed: int = 0, draws: int = DRAWS, item_seeds: Mapping[str, int] | None = None, side: str = ""
    ):
        self.evaluation = evaluation
        self.measure = evaluation.measure
        self.draws = draws
        self.seed = seed
        self.side = side
        self.item_seeds = dict(item_seeds or {})
        self.arms = arms_of(evaluation.runs)
        self.scores = evaluation.task_scores()

    @cached_property
    def resampled(self) -> np.ndarray:
        """float32 [draws, runs, tasks]: task scores on resampled items."""
        tasks = self.evaluation.tasks
        seeds = [self.item_seeds.get(task, derive_seed(self.seed, "items", task)) for task in tasks]
        columns = [
            resampled_scores(self.evaluation.scores[task], self.draws, np.random.default_rng(seed), self.measure.scale)
            for task, seed in zip(tasks, seeds, strict=True)
        ]
        return np.stack(columns, axis=2)

    def mean(self, arm: Arm) -> np.ndarray:
        """Task scores of an arm, mean over runs: float64 [tasks]."""
        return self.scores[list(arm.runs)].mean(axis=0)

    def macros(self, arm: Arm) -> np.ndarray:
        """Macro average of each run of an arm: float64 [runs]."""
        return self.scores[list(arm.runs)].mean(axis=1)

    def selections(self, arm: Arm) -> int | None:
        """How many selections of a seeded selector an arm's runs were trained on; none for selectors that always choose the same."""
        return len({self.evaluation.runs[place].selection_seed for place in arm.runs}) if arm.facts.seeded else None

    def arm_draws(self, arm: Arm, resample_runs: bool = True) -> np.ndarray:
        """Resampled task scores of an arm, float32 [draws, tasks]; with `resample_runs` its seeds are resampled too."""
        values = self.resampled[:, list(arm.runs), :]
        if not resample_runs:
            return values.mean(axis=1)
        return np.einsum("dr,drt->dt", self._run_weights(arm), values)

    def _run_weights(self, arm: Arm) -> np.ndarray:
        """float32 [draws, runs], each row summing to 1: the same in every call for this arm."""
        runs = [self.evaluation.runs[place] for place in arm.runs]
        weights = np.ones((self.draws, len(runs)), np.float32)
        for kind in ("seed", "selection_seed"):
            labels = [int(getattr(run, kind)) for run in runs]
            known = sorted(set(labels))
            generator = np.random.default_rng(derive_seed(self.seed, self.side, kind, *arm.key))
            weights *= seed_weights(len(known), self.draws, generator)[:, [known.index(label) for label in labels]]
        return weights / weights.sum(axis=1, keepdims=True)


def difference(first: tuple[Bootstrap, Arm], second: tuple[Bootstrap, Arm]) -> dict[str, object]:
    """Macro average of `first` minus that of `second`: difference, 95 % interval and its kind, and three p-values.

    `p_bootstrap` and `p_runs` (Welch's t-test over runs) are nan where a side has fewer than three runs; `p`, the larger of the two, is nan
    where either is. `selections`: the fewest selections of a seeded selector on either side (none: neither is seeded). `judged`: from an
    error level to the wider of both tests' intervals, for `adjust`, which takes it away.
    """
    sides = (first, second)
    claim = all(len(arm.runs) >= RUNS_FOR_A_CLAIM for _, arm in sides)
    ours, theirs = (bootstrap.arm_draws(arm, claim).mean(axis=1) for bootstrap, arm in sides)
    observed, baseline = (bootstrap.macros(arm) for bootstrap, arm in sides)
    low, high = interval(ours - theirs)
    p_bootstrap, p_runs = (two_sided_p(ours - theirs), runs_p(observed, baseline)) if claim else (np.nan, np.nan)
    selections = [count for bootstrap, arm in sides if (count := bootstrap.selections(arm)) is not None]
    return {
        "difference": float(observed.mean() - baseline.mean()),
        "low": float(low),
        "high": float(high),
        "interval": BOTH if claim else ITEMS,
        "runs": len(first[1].runs),
        "baseline_runs": len(second[1].runs),
        "selections": min(selections, default=None),
        "p_bootstrap": float(p_bootstrap),
        "p_runs": float(p_runs),
        "p": float(np.maximum(p_bootstrap, p_runs)),
        "judged": partial(_wider, ours - theirs, observed, baseline),
    }


def _wider(draws: np.ndarray, ours: np.ndarray, theirs: np.ndarray, error: float) -> tuple[float, float]:
    """The hull of the bootstrap's and Welch's intervals at an error level: without 0 where both tests are below it."""
    lows, highs = zip(draws_interval(draws, error), runs_interval(ours, theirs, error), strict=True)
    return min(lows), max(highs)


def compare_selectors(bootstrap: Bootstrap) -> list[dict[str, object]]:
    """Every selector against random and against LESS at each budget and number of epochs; Holm over all that carry a p-value."""
    return _compare(bootstrap, baseline_pairs(bootstrap.arms))


def compare_with(bootstrap: Bootstrap, name: str) -> list[dict[str, object]]:
    """The selector `name` against every other one and against the full pool: a family of its own for Holm's adjustment."""
    return _compare(bootstrap, rival_pairs(bootstrap.arms, name))


def _compare(bootstrap: Bootstrap, pairs: Sequence[tuple[Arm, Arm]]) -> list[dict[str, object]]:
    rows = []
    for arm, other in pairs:
        row = {
            "measure": bootstrap.measure.name,
            "selector": arm.selector,
            "baseline": other.selector,
            "budget": arm.budget,
            "epochs": arm.epochs,
            "baseline_epochs": other.epochs,
        }
        rows.append(row | difference((bootstrap, arm), (bootstrap, other)))
    adjust(rows, bootstrap.measure)
    return rows


def macro_averages(bootstrap: Bootstrap) -> list[dict[str, object]]:
    """Per arm: macro average, sd over runs, standard error over items (closed form), bootstrap standard error and 95 % interval."""
    rows = []
    for arm in bootstrap.arms:
        macros = bootstrap.macros(arm)
        claim = len(arm.runs) >= RUNS_FOR_A_CLAIM
        draws = bootstrap.arm_draws(arm, claim).mean(axis=1)
        low, high = interval(draws)
        scores = [bootstrap.evaluation.scores[task][list(arm.runs)] for task in bootstrap.evaluation.tasks]
        rows.append(
            {
                "measure": bootstrap.measure.name,
                "selector": arm.selector,
                "budget": arm.budget,
                "epochs": arm.epochs,
                "runs": len(arm.runs),
                "macro": float(macros.mean()),
                "sd": float(macros.std(ddof=1)) if len(macros) > 1 else float("nan"),
                "se_items": macro_standard_error(scores, bootstrap.measure.scale),
                "se": float(draws.std()),
                "low": float(low),
                "high": float(high),
                "interval": BOTH if claim else ITEMS,
            }
        )
    return rows


def ranks(bootstrap: Bootstrap, budgets: Sequence[str]) -> list[dict[str, object]]:
    """Rank by macro average among the arms that compete at a budget (1 is the highest, of a loss the lowest): observed, bootstrap mean and
    95 % interval."""
    from scipy.stats import rankdata

    rows, sign = [], bootstrap.measure.sign
    for budget in budgets:
        arms = competitors(bootstrap.arms, budget)
        if len(arms) < 2:
            continue
        claim = min(len(arm.runs) for arm in arms) >= RUNS_FOR_A_CLAIM
        draws = np.stack([bootstrap.arm_draws(arm, claim).mean(axis=1) for arm in arms], axis=1)
        resampled = rankdata(-sign * draws, axis=1)
        observed = rankdata([-sign * bootstrap.mean(arm).mean() for arm in arms])
        for place, arm in enumerate(arms):
            low, high = interval(resampled[:, place])
            row = {
                "measure": bootstrap.measure.name,
                "selector": arm.selector,
                "budget": budget,
                "epochs": arm.epochs,
                "rank": float(observed[place]),
            }
            row |= {"mean_rank": float(resampled[:, place].mean()), "low": float(low), "high": float(high)}
            rows.append(row | {"best_share": float((resampled[:, place] == 1).mean()), "interval": BOTH if claim else ITEMS})
    return rows


def balances(bootstrap: Bootstrap) -> list[dict[str, object]]:
    """Balance of every arm that has a `random` arm beside it: sd and minimum over tasks of the gain over random.

    Noise spreads gains even where all true gains are equal, and a bootstrap draw adds it twice, so a percentile interval of the sd would
    lie above its own estimate. Instead: `sd_noise`, the sd that noise alone gives (of the draws' deviations from the observed gains), and
    `p_uneven`, how often it gives at least the observed one; Holm-adjusted over all rows with at least three runs per side. The interval of
    the minimum is that of the gain on the task where it was observed. A gain in loss is how much less it is.
    """
    rows, sign = [], bootstrap.measure.sign
    tasks = bootstrap.evaluation.tasks
    for arm, baseline in balance_pairs(bootstrap.arms):
        claim = min(len(arm.runs), len(baseline.runs)) >= RUNS_FOR_A_CLAIM
        gains = sign * (bootstrap.mean(arm) - bootstrap.mean(baseline))
        draws = sign * (bootstrap.arm_draws(arm, claim) - bootstrap.arm_draws(baseline, claim))
        spread, minimum = balance(gains)
        noise, _ = balance(draws - gains.astype(np.float32))
        worst = int(gains.argmin())
        low, high = interval(draws[:, worst])
        row = {
            "measure": bootstrap.measure.name,
            "selector": arm.selector,
            "budget": arm.budget,
            "epochs": arm.epochs,
            "mean_gain": float(gains.mean()),
            "sd": float(spread),
        }
        row["sd_noise"] = float(np.sqrt(np.mean(np.square(noise))))
        row["p_uneven"] = float((1 + (noise >= spread).sum()) / (1 + len(noise))) if claim and len(tasks) > 1 else float("nan")
        row |= {"minimum": float(minimum), "worst_task": tasks[worst], "minimum_low": float(low), "minimum_high": float(high)}
        row |= {"selections": bootstrap.selections(baseline), "interval": BOTH if claim else ITEMS}
        rows.append(row | {f"gain_{t}": float(g) for t, g in zip(tasks, gains, strict=True)})
    tested = [row for row in rows if not np.isnan(row["p_uneven"])]
    for row, p in zip(tested, holm([row["p_uneven"] for row in tested]), strict=True):
        row["p_uneven_holm"] = float(p)
    for row in rows:
        row.setdefault("p_uneven_holm", float("nan"))
    return rows
