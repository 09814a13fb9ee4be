"""What a unit of work costs, and the jobs it is cut into."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


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
class Part:
    """A piece of a job with results of its own: done once they all exist."""

    outputs: tuple[str, ...]
    cost: Cost

    @property
    def done(self) -> bool:
        """Whether every result is there."""
        return all(Path(output).exists() for output in self.outputs)


@dataclass(frozen=True)
class Stage:
    """One rule: its jobs, each a list of parts; peak GPU memory of one process in bytes, none on CPUs."""

    name: str
    jobs: list[list[Part]]
    memory: float | None = None

    @property
    def cost(self) -> Cost:
        """Everything."""
        return total(part.cost for job in self.jobs for part in job)

    @property
    def jobs_left(self) -> int:
        """Jobs with a part that is not done."""
        return sum(any(not part.done for part in job) for job in self.jobs)

    @property
    def left(self) -> Cost:
        """What is not done."""
        return total(part.cost for job in self.jobs for part in job if not part.done)


def total(costs: Iterable[Cost]) -> Cost:
    """Their sum."""
    return sum(costs, Cost())
