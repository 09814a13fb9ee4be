"""What runs are measured by: every fact of each measure, once. Scores, statistics, tables, figures and sentences ask here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One measure of a run on the items of a task.

    name: as `suites.<name>.measure` says. label: of a column of tables. scale: of an item's value to what is shown. sign: 1 where more is
    better, -1 where less is. digits: decimals shown of a score (of a difference one more). unit: of scores and differences. average: what
    the mean over tasks is called, header: the same above a column. key: how its columns in the score tables end.
    """

    name: str
    label: str
    scale: float
    sign: int
    digits: int
    unit: str
    average: str
    header: str
    key: str = ""

    @property
    def good(self) -> str:
        """The verdict that a better score brings, as it is shown."""
        return self.described("higher" if self.sign > 0 else "lower")

    @property
    def top(self) -> str:
        """What the best score is called."""
        return "highest" if self.sign > 0 else "lowest"

    def described(self, verdict: str) -> str:
        """A verdict on two numbers, "higher" or "lower", and which of them is the better one where that is not the higher."""
        if self.sign > 0 or verdict not in ("higher", "lower"):
            return verdict
        return f"{verdict} ({'better' if verdict == 'lower' else 'worse'})"


ACCURACY = Measure("accuracy", "accuracy", 100.0, 1, 1, "points", "macro average", "Macro avg.")
LOSS = Measure("loss", "held-out loss", 1.0, -1, 3, "nats a token", "mean held-out loss", "Mean loss", "_loss")
MEASURES = (ACCURACY, LOSS)
BY_NAME = {measure.name: measure for measure in MEASURES}
BOTH = "both"


def measures_of(asked: str) -> tuple[Measure, ...]:
    """The measures that a value of `suites.<name>.measure` asks for, in the order of the tables."""
    return tuple(measure for measure in MEASURES if asked in (measure.name, BOTH))
