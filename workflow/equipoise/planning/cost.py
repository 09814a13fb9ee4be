"""What a plan counts of a job: tokens, operations, seconds of a GPU, bytes on disk."""

from dataclasses import astuple, dataclass

from equipoise.jobs import Item

TEXT_BYTES = 4.5  # of a token, in pool.parquet and selections


@dataclass(frozen=True)
class Cost:
    """Tokens seen, operations, seconds of one GPU (summed over GPUs), bytes left on disk; of the seconds, those that
    `model.deterministic` takes."""

    tokens: float = 0.0
    flops: float = 0.0
    gpu_seconds: float = 0.0
    disk: float = 0.0
    deterministic_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(own + added for own, added in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> "Cost":
        return Cost(*(each * times for each in astuple(self)))


@dataclass(frozen=True)
class CostedStage:
    """One rule: its jobs, each a list of items with their costs; peak GPU memory of one process in bytes, none on CPUs; peak host memory
    of a job in bytes, where it is known."""

    name: str
    jobs: list[list[tuple[Item, Cost]]]
    memory: float | None = None
    host: float | None = None

    @property
    def cost(self) -> Cost:
        """Everything."""
        return sum((cost for job in self.jobs for _, cost in job), Cost())

    @property
    def jobs_left(self) -> int:
        """Jobs with an item that is not done."""
        return sum(any(not item.done for item, _ in job) for job in self.jobs)

    @property
    def left(self) -> Cost:
        """What is not done."""
        return sum((cost for job in self.jobs for item, cost in job if not item.done), Cost())
