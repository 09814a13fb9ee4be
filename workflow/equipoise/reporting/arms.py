"""Arms of an experiment and who competes with whom: names alone, read by the Snakefile too."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.layout import Run
from equipoise.selectors import SELECTORS, Selector, selector

STUDIED = "bids"  # the method whose paper this repeats
CHANCE = "random"  # gains are gains over it
LESS = "task_max"
UNNORMALIZED = "instance_max"  # counted on raw influence, which it ranks
ABLATION = (UNNORMALIZED, "instance_max_normalized", STUDIED)


def names_that(**facts: bool) -> list[str]:
    """Names of the selectors with these facts, in the order of the tables, e.g. `names_that(trains=True, swept=False)`."""
    return [known.name for known in SELECTORS if all(getattr(known, fact) == value for fact, value in facts.items())]


@dataclass(frozen=True)
class Arm:
    """A selector at a budget trained for a number of epochs: runs that differ in seeds alone. `runs` are places in the list of runs."""

    selector: str
    budget: str
    epochs: int
    runs: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        return self.selector, self.budget, self.epochs

    @property
    def facts(self) -> Selector:
        return selector(self.selector)

    @property
    def whole_pool(self) -> bool:
        """Whether it is trained on all of the pool."""
        return self.facts.trains and not self.facts.swept


def arms_of(runs: Sequence[Run]) -> list[Arm]:
    """Arms in the order in which they first appear."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault((run.selector, run.budget, int(run.epochs)), []).append(place)
    return [Arm(*key, tuple(places)) for key, places in groups.items()]


def budget_order(budget: str) -> tuple[bool, float]:
    """Sort key of budget labels: shares first, then counts."""
    return "." not in budget, float(budget)


def competitors(arms: Sequence[Arm], budget: str) -> list[Arm]:
    """Arms that compete at a budget, all trained for the number of epochs that most of them share."""
    competing = [arm for arm in arms if arm.budget == budget and arm.facts.competes]
    epochs = [arm.epochs for arm in competing]
    usual = max(sorted(set(epochs)), key=epochs.count, default=0)
    return [arm for arm in competing if arm.epochs == usual]


def baseline_pairs(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Every competing arm with every baseline at the same budget and epochs; a baseline only with those before it."""
    by_key = {arm.key: arm for arm in arms}
    baselines = names_that(baseline=True)
    pairs = []
    for arm in arms:
        for place, name in enumerate(baselines):
            other = by_key.get((name, arm.budget, arm.epochs))
            if arm.facts.competes and arm.selector not in baselines[: place + 1] and other is not None:
                pairs.append((arm, other))
    return pairs


def rival_pairs(arms: Sequence[Arm], name: str) -> list[tuple[Arm, Arm]]:
    """The selector `name` with every other competing one that is no baseline, at the same budget and epochs.

    At its largest budget it is also paired with the full pool.
    """
    own = [arm for arm in arms if arm.selector == name]
    largest = max((arm.budget for arm in own), key=budget_order, default="")
    pairs = []
    for arm in own:
        for other in arms:
            rival = other.facts.competes and not other.facts.baseline and other.selector != name
            if (rival and (other.budget, other.epochs) == (arm.budget, arm.epochs)) or (other.whole_pool and arm.budget == largest):
                pairs.append((arm, other))
    return pairs


def balance_pairs(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Every arm that has random selection at its budget and epochs beside it, with that arm."""
    chance = {(arm.budget, arm.epochs): arm for arm in arms if arm.selector == CHANCE}
    return [(arm, chance[key]) for arm in arms if arm.selector != CHANCE and (key := (arm.budget, arm.epochs)) in chance]


def opposed_arms(arms: Sequence[Arm]) -> tuple[Arm, Arm] | None:
    """Whose answers are set side by side: BIDS and the full pool (else random, else the next), at largest budget and most epochs."""
    largest = {arm.selector: arm for arm in sorted(arms, key=lambda arm: (budget_order(arm.budget), arm.epochs))}
    others = [arm for arm in largest.values() if arm.facts.trains and arm.selector != STUDIED]
    others.sort(key=lambda arm: (not arm.whole_pool, arm.selector != CHANCE))
    return (largest[STUDIED], others[0]) if STUDIED in largest and others else None
