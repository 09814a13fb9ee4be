"""The report's summary: sentences computed from the numbers, none of them stronger than the statistics."""

from collections.abc import Mapping

import pandas as pd

from equipoise.attribution.analyses import balance as evenness
from equipoise.config import Experiment
from equipoise.experiment import measured, measured_tasks
from equipoise.layout import Run
from equipoise.measures import ACCURACY, Measure
from equipoise.reporting.arms import LESS, STUDIED, names_that
from equipoise.reporting.catalogue import shown_budget
from equipoise.reporting.labels import budget_text, listed, signed
from equipoise.reporting.verdicts import ITEMS, LEVEL, RUNS_FOR_A_CLAIM, SELECTIONS_FOR_A_CLAIM, these
from equipoise.selectors import selector

NO_CLAIM = "test items only, fewer than three runs: no claim"


def failures(failed: Mapping[Run, str]) -> list[str]:
    """A sentence on every run whose training failed, each with its reason; none where all are there."""
    if not failed:
        return []
    count = f"{len(failed)} runs have" if len(failed) > 1 else "One run has"
    return [f"{count} failed and stand in no table or figure:", *(f"failed: {reason}" for reason in failed.values())]


def summary(config: Experiment, frames: dict[str, pd.DataFrame]) -> list[str]:
    """Sentences on what was run, what is higher than what, what is not distinguishable, ranks, balance, what may explain it, and anchors.

    frames: the numbers of tables and figures by name, as far as the experiment has them.
    """
    usual, sentences = config.finetune.epochs, []
    for measure in measured(config):
        own = {name: frame[frame["measure"] == measure.name] for name, frame in frames.items() if "measure" in frame}
        sentences += _of_measure(config, {name: frame for name, frame in own.items() if len(frame)}, usual, measure)
    sentences += _why(frames, budget_text(shown_budget(config)))
    macro = frames["statistics_macro"]
    return sentences + [line for each in measured(config) for line in _anchors(macro[macro["measure"] == each.name], each)]


def _of_measure(config: Experiment, frames: dict[str, pd.DataFrame], usual: int, measure: Measure) -> list[str]:
    """What one measure says, from its own rows."""
    sentences = [_what_ran(config, frames["statistics_macro"], measure)]
    comparisons = frames.get("statistics_comparisons")
    if comparisons is not None:
        sentences += _headline(comparisons, usual, measure)
        for baseline in dict.fromkeys(comparisons["baseline"]):
            sentences += _against(comparisons[comparisons["baseline"] == baseline], baseline, usual, measure)
    if "statistics_bids" in frames:
        sentences += _bids(frames["statistics_bids"], usual, measure)
    if comparisons is not None and comparisons["p"].notna().any():
        sentences.append(
            "Every claim above holds after Holm's adjustment of the larger of two p-values, the bootstrap's and that of Welch's t-test "
            "over runs: with few runs a bootstrap alone claims too much."
        )
    if "statistics_ranks" in frames:
        sentences += _first(frames["statistics_ranks"], measure)
    if "statistics_balance" in frames:
        sentences += _balance(frames["statistics_balance"], usual, measure)
    return sentences


def _what_ran(config: Experiment, macro: pd.DataFrame, measure: Measure) -> str:
    competing = macro[macro["selector"].isin(names_that(competes=True))]
    budgets = [budget_text(text) for text in dict.fromkeys(competing["budget"])]
    tasks = len(measured_tasks(config, measure))
    by = "" if measure is ACCURACY else f" by {measure.label}, the lower the better"
    return (
        f"{competing['selector'].nunique()} selectors were compared at {listed(budgets)} of the pool on {tasks} tasks{by} "
        f"({int(macro['runs'].sum())} runs of {config.model.name}); the test items alone give one {measure.average} a standard error of "
        f"about {competing['se_items'].median():.{measure.digits}f} {measure.unit}."
    )


def _headline(comparisons: pd.DataFrame, usual: int, measure: Measure) -> list[str]:
    """BIDS minus each baseline in numbers, budget by budget."""
    sentences = []
    own = comparisons[(comparisons["selector"] == STUDIED) & (comparisons["epochs"] == usual)]
    for baseline, rows in own.groupby("baseline", sort=False):
        parts = [
            f"{signed(row['difference'], measure)} at {budget_text(row['budget'])} ({judged(row, measure)})"
            for row in rows.to_dict("records")
        ]
        sentences.append(
            f"BIDS minus {selector(baseline).short_label}, {measure.average} in {measure.unit} with the interval of the verdict: "
            f"{listed(parts)}."
        )
    return sentences


def judged(row: Mapping[str, object], measure: Measure) -> str:
    """The interval of a comparison's verdict where it has one, the verdict, and which rule decided where it is that nothing is shown."""
    interval = [] if pd.isna(row["claim_low"]) else [f"{signed(row['claim_low'], measure)} to {signed(row['claim_high'], measure)}"]
    found = "" if row["verdict"] in ("higher", "lower") or not row["decided"] else f" by {row['decided']}"
    return "; ".join([*interval, f"{row['claim']}{found}"])


def _against(rows: pd.DataFrame, baseline: str, usual: int, measure: Measure) -> list[str]:
    """Who is higher than the baseline, who is lower, and who is not distinguishable from it, all budgets in one sentence each."""
    sentences = []
    name = selector(baseline).short_label
    about = _about(rows)
    for verdict in ("higher", "lower"):
        claimed = rows[rows["verdict"] == verdict]
        if len(claimed):
            sentences.append(
                f"By {measure.average}, scored {measure.described(verdict)} than {name}{about}: {_named(claimed, 'selector', usual)}."
            )
    equal = rows[rows["verdict"] == "not distinguishable"]
    if len(equal):
        sentences.append(f"By {measure.average}, not distinguishable from {name}: {_named(equal, 'selector', usual)}.")
    unclaimed = rows[rows["interval"] == ITEMS]
    if len(unclaimed):
        sentences.append(
            f"{len(unclaimed)} of {len(rows)} comparisons with {name} rest on fewer than {RUNS_FOR_A_CLAIM} runs of a side: their "
            "intervals cover the test items only, and no claim is made."
        )
    return sentences


def _about(rows: pd.DataFrame) -> str:
    """Says that claims are about the few selections of a seeded selector, where they are."""
    few = rows["selections"].min()  # nan where no seeded selector takes part
    return f" ({these(int(few))})" if few < SELECTIONS_FOR_A_CLAIM else ""


def _bids(rows: pd.DataFrame, usual: int, measure: Measure) -> list[str]:
    """Whether BIDS itself stands out among the selectors, in one sentence."""
    parts = [
        f"{words} {_named(rivals, 'baseline', usual)}"
        for verdict, words in (
            ("not distinguishable", "not distinguishable from"),
            *((each, f"{measure.described(each)} than") for each in ("higher", "lower")),
        )
        if len(rivals := rows[rows["verdict"] == verdict])
    ]
    if not parts:
        return [f"BIDS against the other selectors: no claim, as no side has {RUNS_FOR_A_CLAIM} runs that differ."]
    return [f"Is it BIDS, or does any selector of this kind do? By {measure.average} BIDS is {'; '.join(parts)}."]


def _named(rows: pd.DataFrame, key: str, usual: int) -> str:
    """Selectors with the budgets at which something holds of them."""
    return "; ".join(f"{selector(name).short_label} at {listed(_budgets(group, usual))}" for name, group in rows.groupby(key, sort=False))


def _budgets(group: pd.DataFrame, usual: int) -> list[str]:
    return [budget_text(b) + (f" ({e} epochs)" if e != usual else "") for b, e in zip(group["budget"], group["epochs"], strict=True)]


def _first(ranks: pd.DataFrame, measure: Measure) -> list[str]:
    """The leader of every budget and how sure its place is."""
    sentences = []
    for budget, rows in ranks.groupby("budget", sort=False):
        leader = rows.sort_values(["rank", "mean_rank"], kind="stable").iloc[0]
        others = rows[(rows["low"] <= leader["high"]) & (rows["selector"] != leader["selector"])]
        rivals = [selector(name).short_label for name in others["selector"]]
        name, share = selector(leader["selector"]).short_label, leader["best_share"]
        text = f"At {budget_text(budget)} {name} has the {measure.top} {measure.average}, and in {share:.0%} of the draws"
        tail = f"; its rank interval overlaps that of {listed(rivals)}" if rivals else ""
        sentences.append(f"{text}{tail}{_items_only(rows)}.")
    return sentences


def _items_only(rows: pd.DataFrame) -> str:
    """What is said behind a statement that rests on too few runs for a claim."""
    return f" ({NO_CLAIM})" if (rows["interval"] == ITEMS).any() else ""


def _balance(balance: pd.DataFrame, epochs: int, measure: Measure) -> list[str]:
    """Whose gains over random differ between tasks by more than noise, and the highest smallest gain at each budget."""
    rows = balance[(balance["epochs"] == epochs) & balance["selector"].isin(names_that(competes=True))]
    if rows.empty:
        return []
    uneven = rows[rows["p_uneven_holm"] < LEVEL]
    if rows["p_uneven_holm"].isna().all():
        sentences = []
    elif len(uneven):
        sentences = [
            f"Balance: the gains over random{_about(rows)} differ between tasks by more than noise for "
            f"{_named(uneven, 'selector', epochs)}; elsewhere that is not shown."
        ]
    else:
        sentences = ["Balance: no selector's gains over random differ between tasks by more than the scores' noise explains."]
    best = [
        f"{selector(row['selector']).short_label} at {budget_text(row['budget'])} "
        f"({signed(row['minimum'], measure)} on {row['worst_task']}, "
        f"{signed(row['minimum_low'], measure)} to {signed(row['minimum_high'], measure)})"
        for _, group in rows.groupby("budget", sort=False)
        for row in group.nlargest(1, "minimum").to_dict("records")
    ]
    gain = "gain" if measure is ACCURACY else f"gain (fall of {measure.label})"
    text = f"The highest smallest {gain} over random, with the 95 % interval of the gain on that task: {listed(best)}"
    return [*sentences, f"{text}{_items_only(rows)}."]


def _why(frames: dict[str, pd.DataFrame], budget: str) -> list[str]:
    """How evenly the selections of LESS and BIDS serve the tasks, by the counts of Figures 2 and 3: a description, not a test."""
    parts = []
    for figure, name in (("figure_2_thi_less", LESS), ("figure_3_thi_ablation", STUDIED)):
        if figure in frames and name in frames[figure]:
            counts = frames[figure].set_index("task")[name]
            most, least = counts.idxmax(), counts.idxmin()
            empty = list(counts[counts == 0].index)
            rest = f"no row serves {listed(empty)}" if empty else f"fewest {least} ({counts[least] / counts.sum():.0%})"
            parts.append(
                f"of the rows of {selector(name).short_label}, most serve {most} ({counts[most] / counts.sum():.0%}), {rest}; evenness "
                f"{evenness(counts.to_numpy()):.2f}"
            )
    if not parts:
        return []
    return [
        f"What may explain it, described and not tested: a row serves the task on which its influence is highest (THI), and at {budget}, "
        f"{'; '.join(parts)} (1 is an even spread over tasks)."
    ]


def _anchors(macro: pd.DataFrame, measure: Measure) -> list[str]:
    anchors = macro[macro["selector"].isin(names_that(swept=False))]
    named = [
        selector(row["selector"]).label + (f" ({row['epochs']} epochs)" if row["epochs"] else "") + f" {row['macro']:.{measure.digits}f}"
        for row in anchors.to_dict("records")
    ]
    return [f"Anchors, {measure.average}: {listed(named)}."] if named else []
