"""The report's summary: sentences computed from the numbers, none of them stronger than the statistics."""

from collections.abc import Sequence

import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.comparisons import ITEMS, RUNS_FOR_A_CLAIM
from equipoise.reporting.labels import budget_text, long_label, short_label


def summary(config: Experiment, statistics: dict[str, pd.DataFrame]) -> list[str]:
    """Sentences on what was run, what is higher than what, what cannot be told apart, ranks, balance and anchors."""
    macro = statistics["statistics_macro"]
    sentences = [_what_ran(config, macro)]
    comparisons = statistics.get("statistics_comparisons")
    if comparisons is not None:
        for baseline in dict.fromkeys(comparisons["baseline"]):
            sentences += _against(comparisons[comparisons["baseline"] == baseline], baseline)
    if "statistics_ranks" in statistics:
        sentences += _first(statistics["statistics_ranks"])
    if "statistics_balance" in statistics:
        sentences += _balance(statistics["statistics_balance"], config.finetune.epochs)
    return sentences + _anchors(macro)


def _what_ran(config: Experiment, macro: pd.DataFrame) -> str:
    swept = [name for name in dict.fromkeys(macro["selector"]) if name not in ("zero_shot", "full", "oracle")]
    runs = int(macro["runs"].sum())
    budgets = [budget_text(text) for text in dict.fromkeys(macro[macro["selector"].isin(swept)]["budget"])]
    error = macro[macro["selector"].isin(swept)]["se_items"].median()
    return (
        f"{len(swept)} selectors were compared at {_list(budgets)} of the pool on {sum(bool(t.suite) for t in config.tasks.values())} tasks "
        f"({runs} runs of {config.model.name}); the test items alone give one macro average a standard error of about {error:.1f} points."
    )


def _against(rows: pd.DataFrame, baseline: str) -> list[str]:
    """Who is higher than the baseline, who is lower, and who is not distinguishable from it, all budgets in one sentence each."""
    sentences = []
    for verdict, words in (
        ("higher", "scored higher than"),
        ("lower", "scored lower than"),
        ("not distinguishable", "not distinguishable from"),
    ):
        found = rows[rows["verdict"] == verdict]
        if found.empty:
            continue
        named = [f"{short_label(name)} at {_list(_budgets(group))}" for name, group in found.groupby("selector", sort=False)]
        if verdict == "not distinguishable":
            sentences.append(f"By macro average, not distinguishable from {short_label(baseline)}: {'; '.join(named)}.")
        else:
            sentences.append(f"By macro average, {words} {short_label(baseline)} after Holm's adjustment: {'; '.join(named)}.")
    unclaimed = rows[rows["interval"] == ITEMS]
    if len(unclaimed):
        sentences.append(
            f"{len(unclaimed)} of {len(rows)} comparisons with {short_label(baseline)} rest on fewer than {RUNS_FOR_A_CLAIM} runs of a side: "
            "their intervals cover the test items only, and no claim is made."
        )
    return sentences


def _budgets(group: pd.DataFrame) -> list[str]:
    usual = group["epochs"].min()
    return [budget_text(b) + (f" ({e} epochs)" if e != usual else "") for b, e in zip(group["budget"], group["epochs"], strict=True)]


def _first(ranks: pd.DataFrame) -> list[str]:
    """The leader of every budget and how sure its place is."""
    sentences = []
    for budget, rows in ranks.groupby("budget", sort=False):
        leader = rows.sort_values(["rank", "mean_rank"], kind="stable").iloc[0]
        rivals = [
            short_label(name) for name in rows[(rows["low"] <= leader["high"]) & (rows["selector"] != leader["selector"])]["selector"]
        ]
        text = f"At {budget_text(budget)} {short_label(leader['selector'])} has the highest macro average, and in {leader['best_share']:.0%} of the draws"
        tail = (
            f"; its rank interval overlaps that of {_list(rivals)}." if rivals else "; no other selector's rank interval overlaps its own."
        )
        sentences.append(text + tail)
    return sentences


def _balance(balance: pd.DataFrame, epochs: int) -> list[str]:
    """The most even gain over random at each budget, and what it loses where it does worst."""
    sentences = []
    rows = balance[(balance["epochs"] == epochs) & ~balance["selector"].isin(("oracle",))]
    for budget, group in rows.groupby("budget", sort=False):
        even = group.sort_values("sd", kind="stable").iloc[0]
        worst = group.sort_values("minimum", kind="stable", ascending=False).iloc[0]
        sentences.append(
            f"Balance at {budget_text(budget)}: {short_label(even['selector'])} has the most even gain over random (standard deviation over tasks "
            f"{even['sd']:.1f}, 95 % interval {even['sd_low']:.1f} to {even['sd_high']:.1f}); {short_label(worst['selector'])} has the highest "
            f"smallest gain ({_signed(worst['minimum'])} on {worst['worst_task']}, {_signed(worst['minimum_low'])} to {_signed(worst['minimum_high'])})."
        )
    return sentences


def _anchors(macro: pd.DataFrame) -> list[str]:
    found = macro[macro["selector"].isin(("zero_shot", "full"))]
    named = [
        long_label(row["selector"]) + (f" ({row['epochs']} epochs)" if row["epochs"] else "") + f" {row['macro']:.1f}"
        for row in found.to_dict("records")
    ]
    return [f"Anchors, macro average: {_list(named)}."] if named else []


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _list(words: Sequence[str]) -> str:
    """Words as a list in a sentence."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
