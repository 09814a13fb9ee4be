"""The statistics tables: comparisons, macro averages, ranks and balance, from the bootstrap over an evaluation."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from equipoise.budgets import budget_label
from equipoise.measures import ACCURACY, LOSS
from equipoise.reporting.arms import STUDIED
from equipoise.reporting.bootstrap import Bootstrap, balances, compare_selectors, compare_with, macro_averages, ranks
from equipoise.reporting.labels import NO_BUDGET, WHY_TWO, budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table
from equipoise.selectors import selector

SELECTOR = Column("label", "Selector")
EPOCHS = Column("epochs", "Epochs", 0, context=True)
OVER = Column("interval", "Interval over", context=True)
DIFFERENCE = (
    Column("difference", "Difference", 2, measured=True, sign=True, decides=True),
    Column("claim", "Verdict", decides=True),
    Column("p_holm", "p (Holm)", 4),
    Column("claim_low", "Low", 2, measured=True, sign=True),
    Column("claim_high", "High", 2, measured=True, sign=True),
    Column("decided", "Decided by"),
)
COMPARISON = (
    SELECTOR,
    *(column for column in DIFFERENCE if column.decides),
    Column("against", "Against", context=True),
    EPOCHS,
    *(column for column in DIFFERENCE if not column.decides),
    Column("p_bootstrap", "p bootstrap", 4),
    Column("p_runs", "p runs", 4),
    OVER,
)


def statistics_comparisons(material: Material) -> Table:
    """Every selector against random and against LESS: difference of macro averages, the verdict with its interval and which rule decided, p
    of the paired bootstrap over runs and items and p of Welch's t-test over runs, the larger one adjusted by Holm over all comparisons.
    Where a side has fewer than three runs nothing is claimed."""
    frame = _labelled(_of_all(material, compare_selectors))
    frame = frame.assign(against=[selector(name).short_label for name in frame["baseline"]])
    caption = (
        f"{_draws(material)} {int(frame['p'].notna().sum())} comparisons. {WHY_TWO} Intervals of the bootstrap are too wide where the "
        "chance of a run on an item dominates, as it enters both resamplings (99 to 100 % hold the truth in simulations), and "
        "somewhat too narrow where three seeds scatter far more than their items explain (about 90 %)."
    )
    return Table(caption, frame, _columns(material, COMPARISON), group="group")


def statistics_bids(material: Material) -> Table:
    """BIDS against the other selectors, baselines aside, at the same budget, and at its largest budget against the full pool: a family of
    comparisons of its own for Holm's adjustment."""
    frame = _labelled(_of_all(material, partial(compare_with, name=STUDIED)))
    against = [
        selector(name).short_label + (f", {epochs} epochs" if epochs != own else "")
        for name, epochs, own in zip(frame["baseline"], frame["baseline_epochs"], frame["epochs"], strict=True)
    ]
    caption = f"{_draws(material)} {int(frame['p'].notna().sum())} comparisons. {WHY_TWO}"
    return Table(caption, frame.assign(against=against), _columns(material, COMPARISON), group="group")


def statistics_macro(material: Material) -> Table:
    """Macro average of every arm: standard deviation over runs, standard error over items (closed form), and standard error and 95 %
    interval of the bootstrap."""
    columns = (
        SELECTOR,
        EPOCHS,
        Column("runs", "Runs", 0),
        Column("macro", "Macro avg.", 2, measured=True),
        Column("sd", "SD runs", 2, measured=True),
        Column("se_items", "SE items", 2, measured=True),
        Column("se", "SE bootstrap", 2, measured=True),
        Column("low", "Low", 2, measured=True),
        Column("high", "High", 2, measured=True),
        OVER,
    )
    return Table(_draws(material), _labelled(_of_all(material, macro_averages)), _columns(material, columns), group="group")


def statistics_ranks(material: Material) -> Table:
    """Rank by macro average within a budget (1 is best): observed, and mean, 95 % interval and share of first places over the bootstrap."""
    budgets = [budget_label(budget) for budget in material.config.budgets]
    columns = (
        SELECTOR,
        Column("rank", "Rank", 1),
        Column("mean_rank", "Mean rank", 2),
        Column("low", "Low", 1),
        Column("high", "High", 1),
        Column("best_share", "Share of draws first", 2),
        OVER,
    )
    return Table(
        _draws(material), _labelled(_of_all(material, partial(ranks, budgets=budgets))), _columns(material, columns), group="group"
    )


def statistics_balance(material: Material) -> Table:
    """Gain over random per task: its mean; its standard deviation over tasks (smaller is more balanced) beside the one that noise alone
    gives in the bootstrap; p of noise giving the observed one, adjusted by Holm over all rows; and the smallest gain, with its task and the
    95 % interval of the gain on that task."""
    columns = (
        SELECTOR,
        EPOCHS,
        Column("mean_gain", "Mean gain", 2, measured=True, sign=True),
        Column("sd", "SD over tasks", 2, measured=True),
        Column("sd_noise", "SD of noise", 2, measured=True),
        Column("p_uneven_holm", "p uneven (Holm)", 4),
        Column("minimum", "Smallest gain", 2, measured=True, sign=True),
        Column("worst_task", "on task"),
        Column("minimum_low", "Low", 2, measured=True, sign=True),
        Column("minimum_high", "High", 2, measured=True, sign=True),
        OVER,
    )
    return Table(_draws(material), _labelled(_of_all(material, balances)), _columns(material, columns), group="group")


def _of_all(material: Material, rows: Callable[[Bootstrap], list[dict[str, object]]]) -> list[dict[str, object]]:
    """The rows of every measure, accuracy first; each is a family of its own where p-values are adjusted."""
    return [row for bootstrap in material.bootstraps for row in rows(bootstrap)]


def _columns(material: Material, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, the measure behind the selector where it is not accuracy alone."""
    plain = [bootstrap.measure for bootstrap in material.bootstraps] == [ACCURACY]
    return tuple(columns) if plain else (columns[0], Column("measure", "Measure", context=True), *columns[1:])


def _draws(material: Material) -> str:
    said = f"{material.bootstrap.draws:,} bootstrap draws."
    if LOSS in (bootstrap.measure for bootstrap in material.bootstraps):
        said += f" Rows of the measure loss are {LOSS.average} over tasks in {LOSS.unit}: lower is better, ranks and gains count it so."
        said += " Each measure is a family of its own for Holm's adjustment." if len(material.bootstraps) > 1 else ""
    return said


def _labelled(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows with their heading and label in front, sorted by heading."""
    frame = pd.DataFrame(rows)
    facts = [selector(name) for name in frame["selector"]]
    frame.insert(0, "label", [known.short_label for known in facts])
    frame.insert(0, "group", [budget_text(budget) if f.swept else NO_BUDGET for f, budget in zip(facts, frame["budget"], strict=True)])
    return frame.sort_values("group", key=lambda column: [_group_order(text) for text in column], kind="stable").reset_index(drop=True)


def _group_order(text: str) -> float:
    return -1.0 if text == NO_BUDGET else float(text.split()[0].replace(",", ""))
