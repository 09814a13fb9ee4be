"""How often 95 % intervals hold the truth and how often something is claimed of nothing, by simulation; `pytest -s` prints the numbers."""

import numpy as np
import pytest

from equipoise.layout import Run
from equipoise.reporting.bootstrap import Bootstrap, compare_selectors
from equipoise.reporting.scores import Evaluation
from equipoise.reporting.statistics import holm

TASKS = ("gsm", "code", "form")
CASES = 200


def simulated(found: tuple[Run, ...], items: int, spread: float, generator: np.random.Generator) -> Evaluation:
    """Arms that are equally good: items of unlike difficulty, answered by chance, and a luck of every run.

    spread: standard deviation over runs of a run's own macro average, in points.
    """
    luck = generator.normal(0, spread / 100, (len(found), 1, 1))
    scores = {}
    for task in TASKS:
        chance = 1 / (1 + np.exp(-generator.normal(0, 2, items)))
        scores[task] = (generator.random((len(found), 1, items)) < np.clip(chance + luck, 0, 1)).astype(np.float32)
    keys = {task: tuple((task, str(i), f"{i:05d}") for i in range(items)) for task in TASKS}
    return Evaluation(TASKS, found, keys, scores, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "items", "spread", "least", "most"),
    [
        (3, 250, 0.0, 0.97, 1.0),  # chance of runs on items alone: too wide, as it is counted in both resamplings
        (3, 250, 1.0, 0.95, 1.0),
        (3, 250, 2.0, 0.90, 0.995),
        (5, 250, 2.0, 0.90, 0.995),
        (3, 1000, 3.0, 0.80, 0.96),  # runs scatter far more than their items explain: three seeds are too few
    ],
)
def test_intervals_hold_the_truth_this_often(runs, items, spread, least, most):
    held, sure, width = 0, 0, 0.0
    found = tuple(Run(name, 0, "0.1", 2, seed) for name in ("random", "bids") for seed in range(runs))
    for case in range(CASES):
        sample = simulated(found, items, spread, np.random.default_rng([case, runs, items, int(spread * 10)]))
        (row,) = compare_selectors(Bootstrap(sample, case, draws=1_000))
        held += row["low"] <= 0 <= row["high"]
        sure += row["p"] < 0.05
        width += (row["high"] - row["low"]) / CASES
    print(f"\n{runs} runs, {items * 3} items, spread {spread}: held {held / CASES:.1%}, p < 0.05 in {sure / CASES:.1%}, width {width:.1f}")
    assert least <= held / CASES <= most
    assert sure / CASES <= 0.08


NULL_SELECTORS = ("random", "task_max", "sum", "instance_max", "instance_max_normalized", "rds", "bids", "round_robin")
FAMILIES = 40


def test_a_family_of_comparisons_that_differ_in_nothing_is_seldom_claimed_about():
    """39 comparisons at three seeds, as in the miniature; more than one family in ten would be no 5 % any more."""
    found = tuple(
        Run(name, selection, budget, 2, seed)
        for budget in ("0.05", "0.1", "0.15")
        for name in NULL_SELECTORS
        for selection in range(2 if name == "random" else 1)
        for seed in range(3)
    )
    claimed, by_bootstrap = 0, 0
    for case in range(FAMILIES):
        rows = compare_selectors(Bootstrap(simulated(found, 200, 6.0, np.random.default_rng([9, case])), case, draws=2_000))
        assert len(rows) == 39
        claimed += any(row["verdict"] in ("higher", "lower") for row in rows)
        by_bootstrap += bool((holm([row["p_bootstrap"] for row in rows]) < 0.05).any())
    print(f"\nany claim in {claimed / FAMILIES:.1%} of the families; in {by_bootstrap / FAMILIES:.1%} by the bootstrap alone")
    assert claimed / FAMILIES <= 0.1
    assert by_bootstrap / FAMILIES > 0.1, "the bootstrap alone would do: make the simulation harder or the rule simpler"
