"""What is claimed of a comparison, and which rule decided: words and intervals that never contradict each other."""

from collections.abc import Mapping

import numpy as np

from equipoise.measures import ACCURACY, Measure
from equipoise.reporting.statistics import holm

RUNS_FOR_A_CLAIM = 3
SELECTIONS_FOR_A_CLAIM = 3  # selection seeds, for words about a seeded selector rather than about the selections it made
LEVEL = 0.05
BOTH, ITEMS = "runs and items", "items only"


def adjust(rows: list[dict[str, object]], measure: Measure = ACCURACY) -> None:
    """Adds `p_holm`, `verdict`, `claim` (the verdict as shown), `decided` (which rule did) and the verdict's interval `claim_low` to
    `claim_high` to comparisons by one measure, adjusting over all that have a p-value.

    The interval is the wider of both tests' at the level at which Holm's procedure judged the comparison: it leaves out 0 exactly where
    something is claimed, and there is none where nothing can be.
    """
    tested = [row for row in rows if not np.isnan(row["p"])]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = float(p)
    for row in rows:
        row.setdefault("p_holm", float("nan"))
        row["verdict"] = verdict(row["difference"], row["p_holm"], row["interval"])
        row["claim"] = claim_text(row["verdict"], row["selections"], measure)
        row["decided"] = decided(row, len(tested))
        judged = row.pop("judged")
        row["claim_low"], row["claim_high"] = (np.nan, np.nan) if np.isnan(row["p"]) else judged(LEVEL * row["p"] / row["p_holm"])


def decided(row: Mapping[str, object], family: int) -> str:
    """Which rule a verdict rests on: the tests that find nothing by themselves, else the adjustment for many comparisons."""
    if np.isnan(row["p"]):
        return ""
    if row["p_holm"] < LEVEL:
        return "both tests, adjusted"
    silent = [name for name, p in (("bootstrap", row["p_bootstrap"]), ("spread of runs", row["p_runs"])) if p >= LEVEL]
    if len(silent) == 2:
        return "neither test"
    return silent[0] if silent else f"Holm over {family}"


def verdict(difference: float, p_holm: float, interval: str = BOTH) -> str:
    """A comparison in words."""
    if np.isnan(p_holm):
        return "no claim: fewer than three runs" if interval == ITEMS else "no claim: the runs of each side are all equal"
    if p_holm >= LEVEL:
        return "not distinguishable"
    return "higher" if difference > 0 else "lower"


def claim_text(verdict: str, selections: float | None, measure: Measure = ACCURACY) -> str:
    """A verdict as it is shown: which side is better where that is the lower one, and one about a seeded selector says how few selections
    it is about."""
    few = selections is not None and selections < SELECTIONS_FOR_A_CLAIM
    shown = measure.described(verdict)
    return f"{shown} ({these(int(selections))})" if verdict in ("higher", "lower") and few else shown


def these(selections: int) -> str:
    """What a claim is about where a seeded selector chose fewer than three times."""
    return "this one random selection" if selections == 1 else f"these {selections} random selections"
