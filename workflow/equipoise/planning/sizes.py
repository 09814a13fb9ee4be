"""How large the pieces of an experiment are: rows of shards and budgets, numbers in a gradient, parameters, bytes of a store."""

from dataclasses import dataclass
from functools import cached_property

from equipoise.budgets import parse_budget
from equipoise.collecting import is_predicted, row_shards, sample_size
from equipoise.config import Experiment
from equipoise.config_gradients import Gradients
from equipoise.data.shards import CHUNK_ROWS, chunk_count, plan_shards
from equipoise.estimators import Estimator, FitCost, Shape, row_estimator
from equipoise.experiment import experiment_runs, last_epochs
from equipoise.gradients.width import known_projection, projected_by
from equipoise.layout import Epoch
from equipoise.planning.architecture import Architecture
from equipoise.planning.flops import Load
from equipoise.planning.workload import Items, PoolLoad, items_of
from equipoise.selectors import selector


@dataclass(frozen=True)
class Sizes:
    """Sizes of one experiment with one base and one pool."""

    config: Experiment
    shape: Architecture
    pool: PoolLoad

    @cached_property
    def gradients(self) -> Gradients:
        """The section with the width of the projection as a number: the one chosen, else the default one where none is yet."""
        return projected_by(self.config, known_projection(self.config)).gradients

    @cached_property
    def layers(self) -> list[Shape]:
        """Shapes of all adapted layers."""
        return list(self.shape.adapted(self.config.lora).values()) * self.shape.layers

    @cached_property
    def adapter(self) -> int:
        """Parameters p of the adapter."""
        return self.shape.adapter_parameters(self.config.lora)

    @cached_property
    def estimator(self) -> Estimator | None:
        """The estimator whose rows are collected, if any are."""
        return row_estimator(self.config.gradients)

    @cached_property
    def fit_cost(self) -> FitCost:
        """What the estimator's fit costs at one epoch; nothing where it fits nothing."""
        fit = self.estimator.fitted if self.estimator else None
        return fit.cost(self.gradients, self.config.lora.rank, self.layers, self.pool.rows) if fit else FitCost()

    @cached_property
    def dimension(self) -> int:
        """Numbers in a stored gradient; none where none is stored."""
        if self.estimator is None:
            return 0
        return self.estimator.dimension(self.gradients, self.config.lora.rank, self.layers)

    @cached_property
    def shard_rows(self) -> list[int]:
        """Rows of every shard; none of those that the pool is too small for (which prepare_pool refuses)."""
        shards = self.config.pool.shards
        planned = plan_shards(self.pool.rows, min(shards, chunk_count(self.pool.rows)))
        return [stop - start for start, stop in planned] + [0] * (shards - len(planned))

    @cached_property
    def collected_rows(self) -> list[int]:
        """Rows of every shard of those whose gradients are collected."""
        if not is_predicted(self.config):
            return self.shard_rows
        planned = plan_shards(sample_size(self.config, self.pool.rows), row_shards(self.config))
        return [stop - start for start, stop in planned]

    def rows(self, budget: str) -> int:
        """Rows of the pool that a budget allows."""
        wanted = parse_budget(budget)
        return min(wanted, self.pool.rows) if isinstance(wanted, int) else max(1, int(wanted * self.pool.rows))

    def ranked_share(self, name: str) -> float:
        """Of the pool, that a selector ranks."""
        return min(1.0, self.rows(str(self.config.selection.rank_to)) / self.pool.rows) if selector(name).swept else 1.0

    @cached_property
    def largest_share(self) -> float:
        """Of the pool, that a fine-tuning trains on."""
        return max((self.rows(run.budget) / self.pool.rows for run in experiment_runs(self.config) if run.trained), default=0.0)

    @cached_property
    def pool_load(self) -> Load:
        """The whole pool as the gradient stages run it."""
        return self.pool.collected(self.config.gradients.token_budget)

    def store_bytes(self, rows: int, epoch: Epoch) -> float:
        """Bytes of a gradient store: whole chunks of fp16 rows, fp32 norm and loss, int32 tokens, int8 status; at last epochs states."""
        stored = -(-rows // CHUNK_ROWS) * CHUNK_ROWS
        states = 2 * 2 * self.shape.hidden if epoch in last_epochs(self.config) else 0
        return stored * (2 * self.dimension + 13 + states)

    def states_bytes(self, rows: int) -> float:
        """Bytes of two kinds of fp16 states and of what stands beside them."""
        return -(-rows // CHUNK_ROWS) * CHUNK_ROWS * (13 + 2 * 2 * self.shape.hidden)

    def items(self, suite: str) -> list[Items]:
        """What one evaluation on a suite runs through, task by task."""
        settings = self.config.suites[suite]
        return [items_of(self.config, task, settings) for task in self.config.tasks.values() if task.suite == suite]
