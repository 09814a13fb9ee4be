"""The first screen's sentence and table, and intervals that never contradict their verdict."""

import numpy as np
import pandas as pd
import pytest

from equipoise.measures import ACCURACY, LOSS
from equipoise.reporting.decision import decision
from equipoise.reporting.statistics import draws_interval, runs_interval, runs_p, two_sided_p
from equipoise.reporting.verdicts import LEVEL, adjust
from helpers.reporting_experiment import FEW, make_experiment


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_experiment(tmp_path_factory.mktemp("results"), **FEW | {"budgets": (0.05, 0.1), "items": 2, "seeds": (0,)})


def frames(*found: tuple[str, str, str, float, str], leaders: dict[str, str], measure=ACCURACY, selections: float = np.nan):
    """Frames of comparisons (selector, baseline, budget, difference, verdict) and of first ranks (budget -> selector)."""
    rows = []
    for name, baseline, budget, difference, verdict in found:
        row = {"measure": measure.name, "selector": name, "baseline": baseline, "budget": budget, "epochs": 2, "baseline_epochs": 2}
        row |= {"difference": difference, "verdict": verdict, "claim": measure.described(verdict), "selections": selections}
        unclaimed = verdict.startswith("no claim")
        row |= {"p": np.nan if unclaimed else 0.01, "p_holm": np.nan if unclaimed else 0.02 if "er" in verdict else 0.3, "decided": "both"}
        rows.append(row | {"claim_low": difference - 1, "claim_high": difference + 1})
    names = dict.fromkeys([each for row in rows for each in (row["selector"], row["baseline"])])
    macro = [
        {"measure": measure.name, "selector": name, "budget": budget, "epochs": 2, "macro": 50.0 + place}
        for budget in dict.fromkeys(row["budget"] for row in rows)
        for place, name in enumerate(names)
    ]
    ranks = [{"measure": measure.name, "selector": name, "budget": budget, "rank": 1.0} for budget, name in leaders.items()]
    return {"statistics_comparisons": pd.DataFrame(rows), "statistics_macro": pd.DataFrame(macro), "statistics_ranks": pd.DataFrame(ranks)}


FEW_RUNS = "no claim: fewer than three runs"
SENTENCES = {
    "yes at every budget": (
        [("bids", "random", "0.05", 11.0, "higher"), ("bids", "random", "0.1", 20.0, "higher")]
        + [("bids", "task_max", budget, 3.0, "not distinguishable") for budget in ("0.05", "0.1")],
        {"0.05": "round_robin", "0.1": "round_robin"},
        "Yes against Random (+11.0 to +20.0 points at every budget); not shown against LESS; Round robin is highest.",
    ),
    "at some": (
        [("bids", "random", "0.05", 11.0, "higher"), ("bids", "random", "0.1", 2.0, "not distinguishable")],
        {"0.05": "bids", "0.1": "random"},
        "Yes against Random at 5 % (+11.0 points), not shown at 10 %; BIDS is highest at 5 % and Random at 10 %.",
    ),
    "worse": (
        [("bids", "random", "0.05", -4.0, "lower"), ("bids", "random", "0.1", -2.0, "lower")],
        {"0.05": "random", "0.1": "random"},
        "Worse than Random (−4.0 to −2.0 points at every budget); Random is highest.",
    ),
    "few runs": (
        [("bids", "random", budget, 3.0, FEW_RUNS) for budget in ("0.05", "0.1")],
        {"0.05": "bids", "0.1": "bids"},
        "No claim against Random (fewer than three runs); BIDS is highest.",
    ),
    "not asked": (
        [("sum", "random", "0.1", 3.0, "higher")],
        {"0.1": "sum"},
        "Not asked, as BIDS is not among the selectors; Sum is highest.",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_one_sentence_answers_the_question(config, case):
    found, leaders, sentence = SENTENCES[case]
    assert decision(config, frames(*found, leaders=leaders))["sentence"] == sentence


def test_a_claim_about_few_random_selections_says_so_in_the_sentence(config):
    made = frames(("bids", "random", "0.1", 11.0, "higher"), leaders={"0.1": "bids"}, selections=2.0)
    assert "(+11.0 points over these 2 random selections)" in decision(config, made)["sentence"]


def test_every_baseline_has_a_table_and_both_sides_of_a_comparison_agree(config):
    made = frames(
        ("bids", "random", "0.1", 11.0, "higher"), ("bids", "task_max", "0.1", 3.0, "not distinguishable"), leaders={"0.1": "bids"}
    )
    tables = {table["baseline"]: {row["name"]: row["cells"][0] for row in table["rows"]} for table in decision(config, made)["tables"]}
    assert list(tables) == ["random", "task_max", "bids"]
    assert (tables["random"]["bids"]["kind"], tables["random"]["bids"]["text"]) == ("better", "+11.0")
    assert (tables["bids"]["random"]["kind"], tables["bids"]["random"]["text"]) == ("worse", "−11.0")
    assert "−12.0 to −10.0; lower" in tables["bids"]["random"]["said"]
    assert tables["bids"]["task_max"]["kind"] == "unshown"
    assert tables["bids"]["bids"]["kind"] == "baseline"


def test_a_large_difference_beside_a_smaller_claimed_one_names_the_rule_that_decided(config):
    made = frames(
        ("bids", "random", "0.05", -4.0, "lower"),
        ("bids", "random", "0.1", -16.5, "not distinguishable"),
        ("sum", "random", "0.05", 9.0, "not distinguishable"),
        ("sum", "random", "0.1", -3.0, "not distinguishable"),
        leaders={"0.1": "random"},
    )
    notes = {table["baseline"]: table["notes"] for table in decision(config, made)["tables"]}
    assert notes["random"] == ["BIDS −16.5 at 10 % (by both; −17.5 to −15.5)"]
    assert notes["bids"] == ["Random +16.5 at 10 % (by both; +15.5 to +17.5)"], "seen from the other side"


def test_of_a_loss_the_lower_is_the_better(config):
    made = frames(("bids", "random", "0.1", -0.5, "lower"), leaders={"0.1": "bids"}, measure=LOSS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equipoise.reporting.decision.measured", lambda config: [LOSS])
        shown = decision(config, made)
    assert shown["sentence"] == "Yes against Random (−0.500 nats a token); BIDS is lowest."
    (cell,) = (row["cells"][0] for row in shown["tables"][0]["rows"] if row["name"] == "bids")
    assert (cell["kind"], cell["glyph"]) == ("better", "▲")


def test_an_interval_leaves_out_zero_exactly_where_its_test_rejects():
    generator = np.random.default_rng(5)
    seen = set()
    for _ in range(400):
        draws, error = generator.normal(generator.normal(0, 3), 1, 2_000), 10 ** generator.uniform(-2.5, -0.5)
        low, high = draws_interval(draws, error)
        assert (two_sided_p(draws) < error) == (low > 0 or high < 0)
        ours, theirs = generator.normal(generator.normal(0, 6), 1, 3), generator.normal(0, 2, 4)
        low, high = runs_interval(ours, theirs, error)
        assert (runs_p(ours, theirs) < error) == (low > 0 or high < 0)
        seen.add((two_sided_p(draws) < error, low > 0 or high < 0))
    assert len(seen) == 4, "both tests rejected and did not"
    assert draws_interval(np.ones(10), 0.001) == (0.0, 1.0), "too few draws for this level"


def test_intervals_agree_with_verdicts_after_the_adjustment_and_the_rule_is_named():
    generator = np.random.default_rng(6)
    decided = set()
    for _ in range(60):
        rows = []
        for _ in range(12):
            middle = generator.normal(0, 4)
            draws, ours = generator.normal(middle, 1.2, 2_000), generator.normal(middle, 1, 3)
            theirs = generator.normal(0, 1, 3)
            p = (two_sided_p(draws), runs_p(ours, theirs))

            def judged(error, draws=draws, ours=ours, theirs=theirs):
                return tuple(
                    pick(pair)
                    for pick, pair in zip(
                        (min, max), zip(draws_interval(draws, error), runs_interval(ours, theirs, error), strict=True), strict=True
                    )
                )

            row = {"difference": middle, "p_bootstrap": p[0], "p_runs": p[1], "p": max(p), "interval": "runs and items", "selections": None}
            rows.append(row | {"judged": judged})
        adjust(rows)
        for row in rows:
            assert (row["p_holm"] < LEVEL) == (row["claim_low"] > 0 or row["claim_high"] < 0), row
            decided.add(row["decided"])
    assert decided == {"both tests, adjusted", "neither test", "spread of runs", "bootstrap", "Holm over 12"}
