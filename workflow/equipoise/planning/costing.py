"""The cost of every job of an experiment: the jobs are `jobs.stages`, a cost per kind of item is defined here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from equipoise.collecting import is_own, made_of_rows, sample_size
from equipoise.comparison import ONLY, SUBSET, Retraining, estimated_by
from equipoise.data.shards import CHUNK_ROWS
from equipoise.experiment import gradient_epochs, matrix_epochs
from equipoise.gradients.width import PILOT
from equipoise.jobs import Item, stages
from equipoise.layout import Epoch, Run
from equipoise.planning import flops
from equipoise.planning.cost import TEXT_BYTES, Cost, CostedStage
from equipoise.planning.evaluating import evaluation_cost
from equipoise.planning.hardware import Speed
from equipoise.planning.peaks import peak_gpu_memory, peak_host_memory
from equipoise.planning.sizes import Sizes
from equipoise.selectors import ALONE, SAMPLED

SLOWER_BACKWARD = 1 / (1 - 0.379)  # of deterministic attention: up to 37.9 % less throughput in FlashAttention-3 (DASH, arXiv 2601.21824)
TARGET_TOKENS = 400  # of a validation example, response included
STORED_WEIGHT = 2  # bytes of a base's weight on the hub (bf16)
PAGE_BYTES = 20e6  # of a report


@dataclass(frozen=True)
class Planner(Sizes):
    """Costs the stages of one experiment on a GPU."""

    speed: Speed

    def stages(self) -> list[CostedStage]:
        """Every rule in order."""
        costed = []
        for stage in stages(self.config):
            planners = [self._by(name) for name in dict.fromkeys(item.estimator for job in stage.jobs for item in job)]
            peaks = [peak for peak in (peak_gpu_memory(planner, stage.name) for planner in planners) if peak is not None]
            jobs = [[(item, self._by(item.estimator)._cost(item)) for item in job] for job in stage.jobs]
            peak = max(peaks, default=None)
            costed.append(CostedStage(stage.name, jobs, peak, peak_host_memory(self, stage.name, peak)))
        return costed

    def _by(self, name: str) -> "Planner":
        """The planner of the same experiment with another of the estimators that are compared; this one for an empty name."""
        if name not in self._planners:
            self._planners[name] = replace(self, config=estimated_by(self.config, name)) if name else self
        return self._planners[name]

    @cached_property
    def _planners(self) -> "dict[str, Planner]":
        return {}

    def _cost(self, item: Item) -> Cost:
        costs: dict[str, Callable[..., Cost]] = {
            "fetch": lambda: Cost(disk=STORED_WEIGHT * self.shape.parameters),
            "prepare_targets": lambda task: Cost(disk=TEXT_BYTES * TARGET_TOKENS * self.config.targets.size),
            "prepare_pool": lambda: Cost(self.pool.tokens, disk=TEXT_BYTES * self.pool.tokens),
            "warm_up": lambda epoch: self._trained(self.config.warmup.fraction) + Cost(disk=12 * self.adapter),
            "fit_curvature": self._fitted,
            "choose_dimension": self._piloted,
            "collect_pool_gradients": self._pool_gradients,
            "collect_target_gradients": self._target_gradients,
            "collect_pool_states": self._pool_states,
            "fit_influence_model": self._learned,
            "score_pool": self._scored,
            "collect_target_states": self._target_states,
            "assemble_attribution": self._assembled,
            "rank": lambda name, seed: Cost(disk=40 * self.pool.rows * self.ranked_share(name)),
            "select_budget": self._selected,
            "fine_tune": self._fine_tuned,
            "evaluate": partial(evaluation_cost, self, self.speed),
            "measure_one_step": self._stepped,
            "retrain": self._retrained,
            "report": lambda: Cost(disk=PAGE_BYTES),
        }
        return costs[item.kind](*item.key) if item.kind in costs else Cost()

    def _fitted(self, epoch: Epoch) -> Cost:
        fit, precision = self.fit_cost, self.config.gradients.precision
        examples = min(fit.examples, self.pool.rows)
        share = examples / self.pool.rows
        tokens, load = self.pool.tokens * share, self.pool_load * share
        work = fit.passes * flops.gradients(self.shape, self.config.lora, load, self.config.gradients.activation_checkpointing)
        further = fit.token_operations * load.tokens + fit.example_operations * examples
        double = fit.row_operations * self.pool.rows + fit.once
        on_gpu = self.speed.seconds(work, precision) + (further / self.speed.gpu.fp32 + double / self.speed.gpu.fp64) / self.speed.mfu
        return Cost(fit.passes * tokens, work + further + double, on_gpu if fit.passes else 0.0, fit.disk)

    def _piloted(self) -> Cost:
        """A pilot's rows and all targets', at two widths."""
        rows, columns = min(PILOT, self.pool.rows), self.config.targets.size * len(self.config.tasks)
        share, load = rows / self.pool.rows, flops.Load(TARGET_TOKENS * columns, TARGET_TOKENS**2 * columns, TARGET_TOKENS * columns / 2)
        once = self._collected("pool", self.pool_load * share, self.pool.tokens * share, rows)
        once += self._collected("target", load, load.tokens, columns)
        return once * (2 * len(gradient_epochs(self.config)))

    def _pool_gradients(self, epoch: Epoch, shard: str) -> Cost:
        rows = self.collected_rows[int(shard)]
        share = rows / self.pool.rows
        return self._collected("pool", self.pool_load * share, self.pool.tokens * share, rows) + Cost(disk=self.store_bytes(rows, epoch))

    def _target_gradients(self, epoch: Epoch, task: str) -> Cost:
        size = self.config.targets.size
        load = flops.Load(TARGET_TOKENS * size, TARGET_TOKENS**2 * size, TARGET_TOKENS * size / 2)
        cost = self._collected("target", load, load.tokens, size) + Cost(disk=self.store_bytes(size, epoch))
        extra = min(self.estimator.extra_examples(self.config.gradients), self.pool.rows)
        if extra and (self.config.jobs.tasks == "separate" or task == next(iter(self.config.tasks))):  # once per job and epoch
            share = extra / self.pool.rows
            cost += self._collected("pool", self.pool_load * share, self.pool.tokens * share, extra)
        return cost

    def _scored(self, column: str, shard: str) -> Cost:
        """Losses under the untuned base; without the prompt, of the responses alone."""
        rows = self.shard_rows[int(shard)]
        load, share, tokens = self.pool_load, rows / self.pool.rows, self.pool.tokens
        if column == ALONE:
            tokens = float(self.pool.completion.mean()) * self.pool.rows
            load = flops.Load(tokens, load.squares * (tokens / self.pool.tokens) ** 2, load.completion)
        work = flops.scored(self.shape, None, load * share)
        disk = 13.0 * (-(-rows // CHUNK_ROWS) * CHUNK_ROWS)
        return Cost(tokens * share, work, self.speed.seconds(work, self.config.gradients.precision), disk)

    def _pool_states(self, epoch: Epoch, shard: str) -> Cost:
        rows = self.shard_rows[int(shard)]
        share = rows / self.pool.rows
        return self._passed(self.pool_load * share, self.pool.tokens * share) + Cost(disk=self.states_bytes(rows))

    def _target_states(self, epoch: Epoch, task: str) -> Cost:
        size = self.config.targets.size
        load = flops.Load(TARGET_TOKENS * size, TARGET_TOKENS**2 * size, TARGET_TOKENS * size / 2)
        return self._passed(load, load.tokens) + Cost(disk=self.states_bytes(size))

    def _passed(self, load: flops.Load, tokens: float) -> Cost:
        """Forward passes alone, logits at completion tokens."""
        work = flops.scored(self.shape, self.config.lora, load)
        return Cost(tokens, work, self.speed.seconds(work, self.config.gradients.precision))

    def _assembled(self, matrix: str, shard: str) -> Cost:
        columns = self.config.targets.size * len(self.config.tasks)
        shards = self.collected_rows if matrix == SAMPLED else self.shard_rows
        rows = sum(shards[int(shard) :][: self.config.jobs.assembly])
        width = self.dimension if matrix == made_of_rows(self.config) else self.shape.hidden
        if is_own(self.config, matrix):
            return Cost(disk=4 * rows * columns)
        return Cost(flops=len(matrix_epochs(self.config, matrix)) * flops.attribution(rows, columns, width), disk=4 * rows * columns)

    def _learned(self) -> Cost:
        """Six fits of a ridge regression by its normal equations."""
        rows, width = sample_size(self.config, self.pool.rows), 2 * self.shape.hidden + 1
        columns = self.config.targets.size * len(self.config.tasks)
        work = 6 * (2.0 * rows * width * (width + columns) + width**3 / 3)
        return Cost(flops=work, disk=8.0 * columns * (width + rows))

    def _trained(self, share: float) -> Cost:
        """One epoch over a share of the pool."""
        training = self.config.training
        load = self.pool.trained(training.micro_batch_size) * share
        work = flops.training(self.shape, self.config.lora, load, training.activation_checkpointing)
        more = self._deterministic_seconds(load, self.config.model.precision)
        return Cost(self.pool.tokens * share, work, self.speed.seconds(work, self.config.model.precision) + more, 0.0, more)

    def _deterministic_seconds(self, load: flops.Load, precision: str) -> float:
        """What `model.deterministic` adds to a forward and backward pass."""
        if not self.config.model.deterministic:
            return 0.0
        backward = self.shape.layers * 8 * self.shape.query_width * load.squares
        return (SLOWER_BACKWARD - 1) * self.speed.seconds(backward, precision)

    def _collected(self, side: str, load: flops.Load, tokens: float, rows: float) -> Cost:
        """Stored gradients of rows at one epoch, but for the disk."""
        settings = self.gradients
        row = self.estimator.cost(settings, self.config.lora.rank, self.layers, side)
        work = flops.gradients(self.shape, self.config.lora, load, settings.activation_checkpointing)
        seconds = self.speed.seconds(work, settings.precision) + rows * row.traffic / self.speed.bandwidth
        seconds += rows * (row.double_operations / self.speed.gpu.fp64 + row.operations / self.speed.gpu.fp32) / self.speed.mfu
        more = self._deterministic_seconds(load, settings.precision)
        return Cost(tokens, work + rows * (row.double_operations + row.operations), seconds + more, 0.0, more)

    def _selected(self, name: str, seed: int, budget: str) -> Cost:
        return Cost(disk=self.rows(budget) * (TEXT_BYTES * self.pool.tokens / self.pool.rows + 200))

    def _fine_tuned(self, run: Run) -> Cost:
        return self._trained(self.rows(run.budget) / self.pool.rows) * int(run.epochs) + Cost(disk=4 * self.adapter)

    @cached_property
    def _validation_pass(self) -> Cost:
        """One forward pass over all validation examples, losses at half of their tokens."""
        size, half = self.config.targets.size * len(self.config.tasks), TARGET_TOKENS / 2
        work = flops.reference(self.shape, self.config.lora, size, half, half)
        return Cost(TARGET_TOKENS * size, work, self.speed.seconds(work, self.config.model.precision))

    def _stepped(self, epoch: Epoch) -> Cost:
        """Single steps: a forward pass over the validation examples after each, in float64."""
        passes = min(self.config.validation.one_step.rows, self.pool.rows) + 2
        once = self._validation_pass
        columns = self.config.targets.size * len(self.config.tasks)
        seconds = passes * once.flops / (self.speed.gpu.fp64 * self.speed.mfu)
        return Cost(passes * once.tokens, passes * once.flops, seconds, 8 * passes * columns)

    def _retrained(self, each: Retraining) -> Cost:
        """A fine-tuning on its share of the pool, and the losses after it."""
        share = self.config.validation.subsets.share if each.kind == SUBSET else each.share if each.kind == ONLY else 1 - each.share
        columns = self.config.targets.size * len(self.config.tasks)
        return self._trained(share) * self.config.finetune.epochs + self._validation_pass + Cost(disk=20 * columns)
