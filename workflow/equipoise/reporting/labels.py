"""Words for selectors and budgets, the same in tables, figures and sentences."""

from equipoise.budgets import parse_budget
from equipoise.selectors import selector

ZERO_SHOT_LABEL = "Zero-shot"
NO_BUDGET = "Anchors"  # heading over rows that have no budget


def long_label(name: str) -> str:
    """Name of a selector in tables, e.g. "LESS (task-wise max)"."""
    return ZERO_SHOT_LABEL if name == "zero_shot" else selector(name).label


def short_label(name: str) -> str:
    """Name of a selector in figures: the table's without what stands in brackets."""
    return long_label(name).split(" (")[0]


def budget_text(budget: str) -> str:
    """A budget label for readers: "5 %" for "0.05", "500 examples" for "500"."""
    value = parse_budget(budget)
    return f"{value:,} examples" if isinstance(value, int) else f"{value * 100:g} %"


def arm_label(name: str, epochs: int, usual_epochs: int) -> str:
    """Label of a table row; epochs are told where they are not the experiment's usual ones."""
    return long_label(name) if name == "zero_shot" or epochs == usual_epochs else f"{long_label(name)}, {epochs} epoch{'s' * (epochs != 1)}"
