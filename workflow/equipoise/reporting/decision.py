"""The first screen: one sentence that decides, and one table of selectors and budgets with a verdict in every cell."""

from collections.abc import Mapping, Sequence

import pandas as pd

from equipoise.config import Experiment
from equipoise.experiment import measured
from equipoise.measures import Measure
from equipoise.reporting.arms import STUDIED, budget_order, names_that
from equipoise.reporting.labels import budget_text, listed, signed
from equipoise.reporting.summary import judged
from equipoise.reporting.verdicts import LEVEL, SELECTIONS_FOR_A_CLAIM, these
from equipoise.selectors import selector

BETTER, WORSE, UNSHOWN, UNCLAIMED = "better", "worse", "unshown", "unclaimed"
GLYPHS = {BETTER: "▲", WORSE: "▼", UNSHOWN: "○", UNCLAIMED: "·"}
MEANINGS = {
    BETTER: "better, claimed",
    WORSE: "worse, claimed",
    UNSHOWN: "no difference shown",
    UNCLAIMED: "nothing can be claimed: fewer than three runs, or runs without scatter",
}
WORDS = {BETTER: ("yes", "against"), UNSHOWN: ("not shown", "against"), WORSE: ("worse", "than"), UNCLAIMED: ("no claim", "against")}
FAMILIES = ("statistics_comparisons", "statistics_bids")
REVERSED = {"higher": "lower", "lower": "higher"}

Key = tuple[str, str, str, str]
"""Measure, budget, selector, baseline."""


def decision(config: Experiment, frames: Mapping[str, pd.DataFrame]) -> dict[str, object]:
    """What the first screen shows: {question, sentence, budgets, measures, tables: one a baseline, anchors, legend, rule}.

    frames: the numbers of the report's results by name, as far as the experiment has them.
    """
    macro, compared = frames["statistics_macro"], _compared(config, frames)
    usual = macro[macro["epochs"] == config.finetune.epochs]
    swept = usual[usual["selector"].isin(names_that(swept=True))]
    budgets = sorted(dict.fromkeys(swept["budget"]), key=budget_order)
    first, *_ = measures = measured(config)
    order = swept[swept["measure"] == first.name].groupby("selector", sort=False)["macro"].mean() * -first.sign
    names = sorted(order.index, key=lambda name: (not selector(name).competes, order[name]))
    baselines = [name for name in (*names_that(baseline=True), STUDIED) if any(key[3] == name for key in compared)]
    scores = {(row["measure"], row["budget"], row["selector"]): row["macro"] for row in swept.to_dict("records")}
    shown = {_kind(row, measure) for measure in measures for key, row in compared.items() if key[0] == measure.name}
    return {
        "sentence": _sentence(measures, compared, frames, budgets, names),
        "budgets": [budget_text(budget) for budget in budgets],
        "measures": [measure.header for measure in measures],
        "tables": [
            {
                "baseline": name,
                "label": selector(name).short_label if name else "",
                "rows": _rows(name, names, budgets, measures, compared, scores),
                "notes": _notes(name, names, budgets, measures, compared),
            }
            for name in (baselines or [""])
        ],
        "anchors": _anchors(macro, measures),
        "legend": [(kind, GLYPHS[kind], MEANINGS[kind]) for kind in GLYPHS if kind in shown],
        "rule": _rule(frames, measures),
    }


def _compared(config: Experiment, frames: Mapping[str, pd.DataFrame]) -> dict[Key, dict[str, object]]:
    """Every comparison at the usual epochs, seen from both of its sides."""
    rows: dict[Key, dict[str, object]] = {}
    for name in FAMILIES:
        frame = frames.get(name)
        for row in [] if frame is None else frame.to_dict("records"):
            if row["epochs"] == row["baseline_epochs"] == config.finetune.epochs:
                rows.setdefault((row["measure"], row["budget"], row["selector"], row["baseline"]), row)
                other = row | {"difference": -row["difference"], "claim_low": -row["claim_high"], "claim_high": -row["claim_low"]}
                other["verdict"] = REVERSED.get(row["verdict"], row["verdict"])
                other["claim"] = row["claim"].replace(row["verdict"], other["verdict"], 1)
                rows.setdefault((row["measure"], row["budget"], row["baseline"], row["selector"]), other)
    return rows


def _kind(row: Mapping[str, object], measure: Measure) -> str:
    if row["verdict"] in REVERSED:
        return BETTER if (row["verdict"] == "higher") == (measure.sign > 0) else WORSE
    return UNCLAIMED if pd.isna(row["p_holm"]) else UNSHOWN


def _rows(
    baseline: str,
    names: Sequence[str],
    budgets: Sequence[str],
    measures: Sequence[Measure],
    compared: Mapping[Key, dict[str, object]],
    scores: Mapping[tuple[str, str, str], float],
) -> list[dict[str, object]]:
    """One row a selector: its label, whether it competes, and its cells, budget by budget and measure by measure."""
    rows = []
    for name in names:
        cells = []
        for budget in budgets:
            for measure in measures:
                score = scores.get((measure.name, budget, name))
                cell = {"score": "–" if score is None else f"{score:.{measure.digits}f}", "kind": "", "glyph": "", "text": "", "said": ""}
                row = compared.get((measure.name, budget, name, baseline))
                if row is not None:
                    kind = _kind(row, measure)
                    where = f"{selector(name).short_label} minus {selector(baseline).short_label} at {budget_text(budget)}"
                    said = f"{where}, {measure.average}: {signed(row['difference'], measure)} {measure.unit} ({judged(row, measure)})"
                    cell |= {"kind": kind, "glyph": GLYPHS[kind], "text": signed(row["difference"], measure), "said": said}
                elif name == baseline:
                    cell["kind"] = "baseline"
                cells.append(cell)
        rows.append({"label": selector(name).short_label, "competes": selector(name).competes, "name": name, "cells": cells})
    return rows


def _notes(
    baseline: str,
    names: Sequence[str],
    budgets: Sequence[str],
    measures: Sequence[Measure],
    compared: Mapping[Key, dict[str, object]],
) -> list[str]:
    """The cells that look like an error beside the others: nothing is claimed of them, but of a smaller difference of the same sign by the
    same measure; each with the rule that decided and the interval that it found."""
    notes = []
    for measure in measures:
        keys = [(measure.name, budget, name, baseline) for name in names for budget in budgets]
        rows = {key: compared[key] for key in keys if key in compared}
        kinds = {key: _kind(row, measure) for key, row in rows.items()}
        claimed = [row["difference"] for key, row in rows.items() if kinds[key] in (BETTER, WORSE)]
        for (_, budget, name, _), row in ((key, row) for key, row in rows.items() if kinds[key] == UNSHOWN):
            size = row["difference"]
            if any(other * size > 0 and abs(other) < abs(size) for other in claimed):
                interval = f"{signed(row['claim_low'], measure)} to {signed(row['claim_high'], measure)}"
                unit = "" if measure is measures[0] else f" {measure.unit}"
                where = f"{selector(name).short_label} {signed(size, measure)}{unit} at {budget_text(budget)}"
                notes.append(f"{where} (by {row['decided']}; {interval})")
    return notes


def _anchors(macro: pd.DataFrame, measures: Sequence[Measure]) -> list[str]:
    """Averages of the arms without a budget."""
    found = []
    for measure in measures:
        rows = macro[(macro["measure"] == measure.name) & macro["selector"].isin(names_that(swept=False))]
        for row in rows.to_dict("records"):
            epochs = f" ({row['epochs']} epochs)" if row["epochs"] else ""
            unit = "" if measure is measures[0] else f" {measure.unit}"
            found.append(f"{selector(row['selector']).short_label}{epochs} {row['macro']:.{measure.digits}f}{unit}")
    return found


def _rule(frames: Mapping[str, pd.DataFrame], measures: Sequence[Measure]) -> str:
    family = frames.get(FAMILIES[0], frames.get(FAMILIES[1]))
    count = 0 if family is None else int(family[family["measure"] == measures[0].name]["p"].notna().sum())
    if not count:
        return ""
    return (
        f"A claim needs p below {LEVEL:g} after Holm's adjustment over {count} comparisons, by the larger of a bootstrap's p over runs "
        "and items and that of Welch's t-test over runs; which rule decided stands in the comparisons."
    )


# the sentence
def _sentence(
    measures: Sequence[Measure],
    compared: Mapping[Key, dict[str, object]],
    frames: Mapping[str, pd.DataFrame],
    budgets: Sequence[str],
    names: Sequence[str],
) -> str:
    """The answer of every measure, the first one's first."""
    parts = []
    for measure in measures:
        clauses = [clause for name in names_that(baseline=True) if (clause := _against(name, measure, compared, budgets))]
        if not clauses and STUDIED not in names:
            clauses = [f"not asked, as {selector(STUDIED).short_label} is not among the selectors"]
        elif not clauses:
            clauses = ["not asked, as no baseline ran beside BIDS"]
        text = "; ".join([*clauses, *_first(frames.get("statistics_ranks"), measure)])
        parts.append(text[0].upper() + text[1:] if measure is measures[0] else f"By {measure.label}: {text}")
    return ". ".join(parts) + "."


def _against(baseline: str, measure: Measure, compared: Mapping[Key, dict[str, object]], budgets: Sequence[str]) -> str:
    """Whether the studied selector is better than a baseline, and at which budgets."""
    rows = {budget: row for budget in budgets if (row := compared.get((measure.name, budget, STUDIED, baseline))) is not None}
    if not rows:
        return ""
    name = selector(baseline).short_label
    kinds = {budget: _kind(row, measure) for budget, row in rows.items()}
    if set(kinds.values()) == {UNCLAIMED}:
        return f"no claim against {name} ({next(iter(rows.values()))['claim'].removeprefix('no claim: ')})"
    parts = []
    for kind, (word, preposition) in WORDS.items():
        at = [budget for budget in rows if kinds[budget] == kind]
        if at:
            everywhere = len(at) == len(rows)
            place = "" if everywhere else f" at {listed([budget_text(budget) for budget in at])}"
            size = _size([rows[budget] for budget in at], measure, everywhere) if kind in (BETTER, WORSE) else ""
            parts.append(f"{word}{'' if parts else f' {preposition} {name}'}{place}{size}")
    return ", ".join(parts)


def _size(rows: Sequence[Mapping[str, object]], measure: Measure, everywhere: bool) -> str:
    values = sorted(row["difference"] for row in rows)
    ends = [signed(value, measure) for value in (values[0], values[-1])]
    span = " to ".join(dict.fromkeys(ends))
    few = min((row["selections"] for row in rows if not pd.isna(row["selections"])), default=SELECTIONS_FOR_A_CLAIM)
    over = f" over {these(int(few))}" if few < SELECTIONS_FOR_A_CLAIM else ""
    return f" ({span} {measure.unit}{over}{' at every budget' if everywhere and len(rows) > 1 else ''})"


def _first(ranks: pd.DataFrame | None, measure: Measure) -> list[str]:
    """Who has the best average at which budget: what was observed, no claim."""
    own = None if ranks is None else ranks[(ranks["measure"] == measure.name) & (ranks["rank"] < 2)]
    if own is None or own.empty:
        return []
    leaders: dict[str, list[str]] = {}
    for budget, rows in own.groupby("budget", sort=False):
        leaders.setdefault(listed([selector(name).short_label for name in rows["selector"]]), []).append(budget_text(budget))
    if len(leaders) == 1:
        return [f"{next(iter(leaders))} is {measure.top}"]
    first, *others = [f"{name} {{}}at {listed(budgets)}" for name, budgets in leaders.items()]
    return [listed([first.format(f"is {measure.top} "), *(other.format("") for other in others)])]
