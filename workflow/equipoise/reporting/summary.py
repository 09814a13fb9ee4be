"""The report's summary: sentences computed from the numbers, none of them stronger than the statistics."""

from collections.abc import Sequence

import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.comparisons import ITEMS, LEVEL, RUNS_FOR_A_CLAIM
from equipoise.reporting.labels import budget_text, long_label, short_label


def summary(config: Experiment, statistics: dict[str, pd.DataFrame]) -> list[str]:
    """Sentences on what was run, what is higher than what, what cannot be told apart, ranks, balance and anchors."""
    macro = statistics["statistics_macro"]
    sentences = [_what_ran(config, macro)]
    comparisons = statistics.get("statistics_comparisons")
    if comparisons is not None:
        sentences += _headline(comparisons)
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
        f"{len(swept)} selectors were compared at {_list(budgets)} of the pool on {sum(bool(t.suite) for t in config.tasks.values())} "
        "tasks "
        f"({runs} runs of {config.model.name}); the test items alone give one macro average a standard error of about {error:.1f} points."
    )


def _headline(comparisons: pd.DataFrame) -> list[str]:
    """BIDS minus each baseline in numbers, budget by budget."""
    sentences = []
    for baseline, rows in comparisons[comparisons["selector"] == "bids"].groupby("baseline", sort=False):
        usual = rows["epochs"].min()
        parts = [
            f"{_signed(row['difference'])} at {budget_text(row['budget'])} ({_signed(row['low'])} to {_signed(row['high'])}"
            + (f"; {row['verdict']})" if row["verdict"] != "higher" else ")")
            for row in rows[rows["epochs"] == usual].to_dict("records")
        ]
        kinds = f" (intervals over {_list(list(dict.fromkeys(rows['interval'])))})"
        sentences.append(f"BIDS minus {short_label(baseline)}, macro average in points with 95 % interval{kinds}: {_list(parts)}.")
    return sentences


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
            f"{len(unclaimed)} of {len(rows)} comparisons with {short_label(baseline)} rest on fewer than {RUNS_FOR_A_CLAIM} runs of a "
            "side: "
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
        others = rows[(rows["low"] <= leader["high"]) & (rows["selector"] != leader["selector"])]
        rivals = [short_label(name) for name in others["selector"]]
        name, share = short_label(leader["selector"]), leader["best_share"]
        text = f"At {budget_text(budget)} {name} has the highest macro average, and in {share:.0%} of the draws"
        tail = (
            f"; its rank interval overlaps that of {_list(rivals)}." if rivals else "; no other selector's rank interval overlaps its own."
        )
        sentences.append(text + tail)
    return sentences


def _balance(balance: pd.DataFrame, epochs: int) -> list[str]:
    """Whose gains over random differ between tasks by more than noise, and the highest smallest gain at each budget."""
    rows = balance[(balance["epochs"] == epochs) & (balance["selector"] != "oracle")]
    uneven = rows[rows["p_uneven_holm"] < LEVEL]
    named = [f"{short_label(name)} at {_list(_budgets(group))}" for name, group in uneven.groupby("selector", sort=False)]
    if rows["p_uneven_holm"].isna().all():
        sentences = []
    elif named:
        sentences = [
            f"Balance: the gains over random differ between tasks by more than noise for {'; '.join(named)}; elsewhere that is not shown."
        ]
    else:
        sentences = ["Balance: no selector's gains over random differ between tasks by more than the scores' noise explains."]
    best = [
        f"{short_label(row['selector'])} at {budget_text(row['budget'])} ({_signed(row['minimum'])} on {row['worst_task']}, "
        f"{_signed(row['minimum_low'])} to {_signed(row['minimum_high'])})"
        for _, group in rows.groupby("budget", sort=False)
        for row in group.nlargest(1, "minimum").to_dict("records")
    ]
    return [*sentences, f"The highest smallest gain over random, with the 95 % interval of the gain on that task: {_list(best)}."]


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
