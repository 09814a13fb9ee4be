"""Words that tables, figures and sentences share."""

from collections.abc import Sequence

from equipoise.budgets import parse_budget
from equipoise.measures import Measure
from equipoise.selectors import selector

NO_BUDGET = "Anchors"  # heading over rows that have no budget
WHY_TWO = (
    "Claims rest on the larger of the bootstrap's p and that of Welch's t-test over runs, because a bootstrap of few runs finds too much. "
    "The interval of a verdict is the wider of both tests' at the level at which Holm's procedure judged the comparison: it leaves out 0 "
    "exactly where something is claimed, and there is none where nothing can be."
)


def budget_text(budget: str) -> str:
    """A budget label for readers: "5 %" for "0.05", "500 examples" for "500"."""
    value = parse_budget(budget)
    return f"{value:,} examples" if isinstance(value, int) else f"{value * 100:g} %"


def arm_label(name: str, epochs: int, usual_epochs: int) -> str:
    """Label of a table row; it names the epochs of the full pool, and of others where they are not the experiment's usual ones."""
    facts = selector(name)
    usual = not facts.trains or (facts.swept and epochs == usual_epochs)
    return facts.label if usual else f"{facts.label}, {epochs} epoch{'s' * (epochs != 1)}"


def signed(value: float, measure: Measure) -> str:
    """A difference with its sign and the decimals of the measure."""
    return f"{value:+.{measure.digits}f}".replace("-", "−")


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
