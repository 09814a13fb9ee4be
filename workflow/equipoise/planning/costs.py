"""What a unit of work costs, and the jobs of an experiment with their costs."""

from collections.abc import Iterable
from dataclasses import dataclass

from equipoise.experiment import Item


@dataclass(frozen=True)
class Cost:
    """Tokens seen, operations, seconds of one GPU (summed over GPUs), bytes left on disk."""

    tokens: float = 0.0
    flops: float = 0.0
    gpu_seconds: float = 0.0
    disk: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.tokens + other.tokens, self.flops + other.flops, self.gpu_seconds + other.gpu_seconds, self.disk + other.disk)

    def __mul__(self, times: float) -> "Cost":
        return Cost(self.tokens * times, self.flops * times, self.gpu_seconds * times, self.disk * times)


@dataclass(frozen=True)
class CostedStage:
    """One rule: its jobs, each a list of items with their costs; peak GPU memory of one process in bytes, none on CPUs."""

    name: str
    jobs: list[list[tuple[Item, Cost]]]
    memory: float | None = None

    @property
    def cost(self) -> Cost:
        """Everything."""
        return total(cost for job in self.jobs for _, cost in job)

    @property
    def jobs_left(self) -> int:
        """Jobs with an item that is not done."""
        return sum(any(not item.done for item, _ in job) for job in self.jobs)

    @property
    def left(self) -> Cost:
        """What is not done."""
        return total(cost for job in self.jobs for item, cost in job if not item.done)


def total(costs: Iterable[Cost]) -> Cost:
    """Their sum."""
    return sum(costs, Cost())
