"""How often the 95 % intervals of comparisons hold the truth, by simulation. `pytest -s` on this file prints the numbers."""

import numpy as np
import pytest

from equipoise.layout import Run
from equipoise.reporting.comparisons import Bootstrap, compare_selectors
from equipoise.reporting.scores import Evaluation

TASKS = ("gsm", "code", "form")
CASES = 200


def simulated(runs: int, items: int, spread: float, generator: np.random.Generator) -> Evaluation:
    """Two arms that are equally good: items of unlike difficulty, answered by chance, and a luck of every run.

    spread: standard deviation over runs of a run's own macro average, in points.
    """
    found = tuple(Run(name, 0, "0.1", 2, seed) for name in ("random", "bids") for seed in range(runs))
    luck = generator.normal(0, spread / 100, (len(found), 1, 1))
    scores = {}
    for task in TASKS:
        chance = 1 / (1 + np.exp(-generator.normal(0, 2, items)))
        scores[task] = (generator.random((len(found), 1, items)) < np.clip(chance + luck, 0, 1)).astype(np.float32)
    keys = {task: tuple((task, str(i), f"{i:05d}") for i in range(items)) for task in TASKS}
    return Evaluation(TASKS, found, keys, scores, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "items", "spread", "least"),
    [
        (3, 250, 0.0, 0.97),  # chance of runs on items alone: too wide, as it is counted in both resamplings
        (3, 250, 1.0, 0.95),
        (3, 250, 2.0, 0.90),
        (5, 250, 2.0, 0.90),
        (3, 1000, 3.0, 0.80),  # runs scatter far more than their items explain: three seeds are too few
    ],
)
def test_intervals_hold_the_truth_this_often(runs, items, spread, least):
    held, sure, width = 0, 0, 0.0
    for case in range(CASES):
        sample = simulated(runs, items, spread, np.random.default_rng([case, runs, items, int(spread * 10)]))
        (row,) = compare_selectors(Bootstrap(sample, case, draws=1_000))
        held += row["low"] <= 0 <= row["high"]
        sure += row["p"] < 0.05
        width += (row["high"] - row["low"]) / CASES
    print(f"\n{runs} runs, {items * 3} items, spread {spread}: held {held / CASES:.1%}, p < 0.05 in {sure / CASES:.1%}, width {width:.1f}")
    assert held / CASES >= least
    assert sure / CASES <= 1 - least
