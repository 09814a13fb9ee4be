"""Arms of an experiment and who competes with whom: names alone, read by the Snakefile too."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.layout import Run

BASELINES = ("random", "task_max")
ANCHORS = ("zero_shot", "full", "oracle")
"""Rows that stand beside the competition: no selection, all of the pool, or knowledge no selector has."""
ABLATION = ("instance_max", "instance_max_normalized", "bids")


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
    """Arms that compete at a budget: no anchors, and the number of epochs most of them share."""
    found = [arm for arm in arms if arm.budget == budget and arm.selector not in ANCHORS]
    epochs = [arm.epochs for arm in found]
    usual = max(sorted(set(epochs)), key=epochs.count, default=0)
    return [arm for arm in found if arm.epochs == usual]


def baseline_pairs(arms: Sequence[Arm], baselines: Sequence[str] = BASELINES) -> list[tuple[Arm, Arm]]:
    """Every selector with every baseline at the same budget and epochs; the two baselines are paired once."""
    by_key = {arm.key: arm for arm in arms}
    pairs = []
    for arm in arms:
        for name in baselines:
            other = by_key.get((name, arm.budget, arm.epochs))
            if arm.selector not in (*ANCHORS, name) and other is not None and (arm.selector, name) != tuple(baselines[:2]):
                pairs.append((arm, other))
    return pairs


def rival_pairs(arms: Sequence[Arm], name: str, known: Sequence[str] = BASELINES) -> list[tuple[Arm, Arm]]:
    """The selector `name` with every other one at the same budget and epochs but those in `known`; at its largest budget with `full` "
    "too."""
    own = [arm for arm in arms if arm.selector == name]
    deepest = max((arm.budget for arm in own), key=budget_order, default="")
    pairs = []
    for arm in own:
        for other in arms:
            rival = (other.budget, other.epochs) == (arm.budget, arm.epochs) and other.selector not in (name, *known, *ANCHORS)
            if rival or (other.selector == "full" and arm.budget == deepest):
                pairs.append((arm, other))
    return pairs


def balance_pairs(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Every arm that has a `random` arm of its budget and epochs beside it, with that arm."""
    randoms = {(arm.budget, arm.epochs): arm for arm in arms if arm.selector == "random"}
    found = [(arm, randoms.get((arm.budget, arm.epochs))) for arm in arms if arm.selector != "random"]
    return [(arm, baseline) for arm, baseline in found if baseline is not None]


def opposed_arms(arms: Sequence[Arm]) -> tuple[Arm, Arm] | None:
    """Whose answers are set side by side: BIDS and the full pool (else random, else the next), at largest budget and most epochs."""
    deepest = {arm.selector: arm for arm in sorted(arms, key=lambda arm: (budget_order(arm.budget), arm.epochs))}
    others = [deepest[name] for name in ("full", "random", *deepest) if name in deepest and name not in ("bids", "zero_shot")]
    return (deepest["bids"], others[0]) if "bids" in deepest and others else None
