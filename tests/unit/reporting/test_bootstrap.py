"""Arms and what is claimed about them, on evaluations made in memory."""

import numpy as np
import pytest

from equipoise.layout import Run
from equipoise.reporting.arms import arms_of, baseline_pairs, competitors, opposed_arms, rival_pairs
from equipoise.reporting.bootstrap import BOTH, ITEMS, Bootstrap, balances, compare_selectors, compare_with, macro_averages, ranks
from equipoise.reporting.scores import Evaluation

TASKS = ("gsm", "code", "form")


def runs(selectors: dict[str, int], budget: str = "0.1", epochs: int = 2, selections: int = 1) -> list[Run]:
    """`selectors`: name -> number of fine-tuning seeds; `random` gets `selections` selection seeds."""
    return [
        Run(name, selection, budget, epochs, seed)
        for name, seeds in selectors.items()
        for selection in range(selections if name == "random" else 1)
        for seed in range(seeds)
    ]


def evaluation(found: list[Run], level: dict[str, float], seed: int = 0, items: int = 400, spread: float = 0.0) -> Evaluation:
    """Bernoulli items with a chance of `level[selector]`, plus a per-run effect with standard deviation `spread`."""
    generator = np.random.default_rng(seed)
    scores = {}
    for task in TASKS:
        effects = generator.normal(0, spread, len(found)) if spread else np.zeros(len(found))
        chance = np.array([level[run.selector] for run in found]) + effects
        scores[task] = (generator.random((len(found), 1, items)) < chance[:, None, None]).astype(np.float32)
    keys = {task: tuple((task, str(i), f"{i:04d}") for i in range(items)) for task in TASKS}
    return Evaluation(TASKS, tuple(found), keys, scores, [])


def test_arms_gather_seeds_and_keep_order():
    arms = arms_of(runs({"random": 2, "bids": 3}, selections=2))
    assert [(arm.selector, len(arm.runs)) for arm in arms] == [("random", 4), ("bids", 3)]


def test_every_selector_meets_each_baseline_once_and_anchors_never():
    arms = arms_of(runs({"zero_shot": 1, "random": 1, "task_max": 1, "bids": 1, "full": 1, "oracle": 1}))
    named = {(arm.selector, other.selector) for arm, other in baseline_pairs(arms)}
    assert named == {("task_max", "random"), ("bids", "random"), ("bids", "task_max")}


def test_epochs_are_never_mixed_in_a_comparison():
    arms = arms_of([*runs({"random": 1, "bids": 1}), *runs({"bids": 1}, epochs=4)])
    assert [arm.epochs for arm, _ in baseline_pairs(arms)] == [2]
    assert [arm.epochs for arm in competitors(arms, "0.1")] == [2, 2]


def test_bids_meets_the_full_pool_at_its_largest_budget_only():
    arms = arms_of([*runs({"bids": 1, "sum": 1}), *runs({"bids": 1}, budget="0.15"), *runs({"full": 1}, budget="1.0", epochs=4)])
    assert [(a.budget, b.selector) for a, b in rival_pairs(arms, "bids")] == [("0.1", "sum"), ("0.15", "full")]
    assert tuple(arm.key for arm in opposed_arms(arms)) == (("bids", "0.15", 2), ("full", "1.0", 4))


def test_a_large_advantage_is_called_higher_and_none_is_called_not_distinguishable():
    found = runs({"random": 3, "task_max": 3, "bids": 3}, selections=2)
    rows = compare_selectors(Bootstrap(evaluation(found, {"random": 0.4, "task_max": 0.4, "bids": 0.6}), draws=4_000))
    verdicts = {(row["selector"], row["baseline"]): row["verdict"] for row in rows}
    assert verdicts == {("task_max", "random"): "not distinguishable", ("bids", "random"): "higher", ("bids", "task_max"): "higher"}
    assert all(row["interval"] == BOTH and row["low"] < row["difference"] < row["high"] for row in rows)


def test_fewer_than_three_runs_give_an_item_interval_and_no_claim():
    found = runs({"random": 3, "bids": 2})
    bootstrap = Bootstrap(evaluation(found, {"random": 0.3, "bids": 0.7}, spread=0.1), draws=4_000)
    (row,) = compare_selectors(bootstrap)
    assert row["interval"] == ITEMS
    assert np.isnan(row["p"])
    assert row["verdict"] == "no claim: fewer than three runs"
    scores = [bootstrap.evaluation.scores[task] for task in TASKS]
    difference = [task[3:].mean(axis=(0, 1)) - task[:3].mean(axis=(0, 1)) for task in scores]
    expected = 100 * np.sqrt(sum(d.var() / d.size for d in difference)) / 3
    assert (row["high"] - row["low"]) / (2 * 1.96) == pytest.approx(expected, rel=0.06)


def test_three_separated_seeds_are_not_called_higher_by_the_bootstrap_alone():
    found = runs({"random": 3, "bids": 3})
    sample = evaluation(found, {"random": 0.4, "bids": 0.4}, items=2_000)
    for scores in sample.scores.values():
        for run, chance in enumerate((0.20, 0.30, 0.40, 0.41, 0.51, 0.61)):
            scores[run] = np.arange(2_000)[None] < 2_000 * chance
    (row,) = compare_selectors(Bootstrap(sample, draws=2_000))
    assert row["p_bootstrap"] < 0.05 < row["p_runs"] == row["p"]
    assert row["verdict"] == "not distinguishable"


def test_runs_without_any_scatter_are_said_to_allow_no_claim():
    sample = evaluation(runs({"random": 3, "bids": 3}), {"random": 0.4, "bids": 0.4}, items=60)
    for scores in sample.scores.values():
        scores[:3], scores[3:] = 0.0, 1.0
    (row,) = compare_selectors(Bootstrap(sample, draws=200))
    assert np.isnan(row["p"])
    assert row["verdict"] == "no claim: the runs of each side are all equal"


def test_a_claim_about_few_random_selections_says_so():
    for selections, words in ((1, " (this one random selection)"), (2, " (these 2 random selections)"), (3, "")):
        found = runs({"random": 3, "task_max": 3, "bids": 3}, selections=selections)
        rows = compare_selectors(Bootstrap(evaluation(found, {"random": 0.2, "task_max": 0.5, "bids": 0.8}), draws=1_000))
        assert {row["verdict"] for row in rows} == {"higher"}
        claims = {(row["selector"], row["baseline"]): row["claim"] for row in rows}
        assert claims["bids", "random"] == f"higher{words}"
        assert claims["bids", "task_max"] == "higher"


def test_run_spread_widens_the_interval():
    found = runs({"random": 3, "bids": 3})
    calm, wild = (
        compare_selectors(Bootstrap(evaluation(found, {"random": 0.4, "bids": 0.4}, spread=spread), draws=4_000))[0]
        for spread in (0.0, 0.12)
    )
    assert wild["high"] - wild["low"] > 1.5 * (calm["high"] - calm["low"])


def test_intervals_of_many_runs_cover_the_truth_about_as_often_as_they_say():
    found = runs({"random": 8, "bids": 8})
    hits = 0
    for seed in range(120):
        sample = evaluation(found, {"random": 0.4, "bids": 0.5}, seed=seed, items=120, spread=0.12)
        (row,) = compare_selectors(Bootstrap(sample, seed, draws=400))
        hits += row["low"] <= 10.0 <= row["high"]
    assert 0.88 <= hits / 120 <= 0.99


def test_holm_runs_over_all_comparisons():
    found = runs({"random": 3, "task_max": 3, "sum": 3, "bids": 3})
    rows = compare_selectors(Bootstrap(evaluation(found, dict.fromkeys(("random", "task_max", "sum", "bids"), 0.4)), draws=1_000))
    assert len(rows) == 5
    smallest = min(rows, key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(min(1.0, 5 * smallest["p"]))


def test_bootstrap_repeats_itself_and_follows_its_seed():
    sample = evaluation(runs({"random": 3, "bids": 3}), {"random": 0.4, "bids": 0.5})
    first, again, other = (compare_selectors(Bootstrap(sample, seed, draws=500)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_ranks_sum_up_and_the_best_is_first():
    found = runs({"random": 3, "task_max": 3, "bids": 3})
    rows = ranks(Bootstrap(evaluation(found, {"random": 0.3, "task_max": 0.45, "bids": 0.7}), draws=1_000), ["0.1"])
    assert {row["selector"]: row["rank"] for row in rows} == {"random": 3, "task_max": 2, "bids": 1}
    assert sum(row["mean_rank"] for row in rows) == pytest.approx(6)


def test_equal_gains_are_not_called_uneven_and_unequal_ones_are():
    found = runs({"random": 3, "bids": 3})
    even = evaluation(found, {"random": 0.4, "bids": 0.5})
    (row,) = balances(Bootstrap(even, draws=2_000))
    assert row["p_uneven_holm"] > 0.05
    uneven = evaluation(found, {"random": 0.4, "bids": 0.5})
    uneven.scores["form"][3:] = 1.0
    (row,) = balances(Bootstrap(uneven, draws=2_000))
    assert row["p_uneven_holm"] < 0.05
    assert row["sd"] > 3 * row["sd_noise"]
    assert row["worst_task"] != "form"


def test_macro_average_of_one_run_has_no_standard_deviation():
    (row,) = macro_averages(Bootstrap(evaluation(runs({"bids": 1}), {"bids": 0.5}), draws=500))
    assert np.isnan(row["sd"])
    assert row["se"] == pytest.approx(row["se_items"], rel=0.1)


def test_bids_against_the_others_is_a_family_of_its_own():
    found = runs({"random": 3, "task_max": 3, "sum": 3, "bids": 3})
    rows = compare_with(Bootstrap(evaluation(found, {"random": 0.3, "task_max": 0.3, "sum": 0.45, "bids": 0.5}), draws=1_000), "bids")
    assert [row["baseline"] for row in rows] == ["sum"]
    assert rows[0]["p_holm"] == rows[0]["p"]
