"""The cost of every job of an experiment: the jobs are `experiment.stages`, a cost per kind of item is defined here."""

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from equipoise.budgets import parse_budget
from equipoise.collecting import is_own, is_predicted, made_of_rows, row_shards, sample_size
from equipoise.comparison import ONLY, SUBSET, Retraining, estimated_by
from equipoise.config import Experiment, Lora, Suite
from equipoise.config_gradients import Gradients
from equipoise.config_keys import UNQUANTISED
from equipoise.data.shards import CHUNK_ROWS, chunk_count, plan_shards
from equipoise.estimators import Estimator, FitCost, Shape, row_estimator
from equipoise.experiment import Item, evaluations, experiment_runs, gradient_epochs, matrix_epochs, stages
from equipoise.gradients.width import PILOT, known_projection, projected_by
from equipoise.layout import Run
from equipoise.measures import LOSS
from equipoise.planning import flops, host_memory, memory
from equipoise.planning.architecture import Architecture
from equipoise.planning.hardware import Gpu
from equipoise.planning.workload import Items, PoolLoad, items_of, longest_of
from equipoise.selectors import ALONE, SAMPLED, selector

if TYPE_CHECKING:
    import numpy as np

BANDWIDTH_REACHED = 0.7  # share of the data sheet's bandwidth that elementwise operations and decoding reach
SECONDS_PER_LAYER = {
    False: 0.9e-3,
    True: 1.3e-3,
}  # processor time that starts one layer's kernels in a step of transformers; with adapters apart from their maps (bench_decoding.py)
SLOWER_BACKWARD = 1 / (1 - 0.379)  # of deterministic attention: up to 37.9 % less throughput in FlashAttention-3 (DASH, arXiv 2601.21824)
VLLM_SEQUENCES = 256  # vLLM's default limit of sequences at a time
CHOICES = 4  # of a multiple-choice item: vLLM passes over the prompt for each, transformers once for all
CHOICE_TOKENS = 2  # of the right choice of an item that is scored: a letter and what stands before it
TARGET_TOKENS = 400  # of a validation example, response included
STORED_WEIGHT = 2  # bytes of a base's weight on the hub (bf16)
TEXT_BYTES = 4.5  # of a token, in pool.parquet and selections
PAGE_BYTES = 20e6  # of a report


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


@dataclass(frozen=True)
class Planner:
    """Costs the stages of one experiment; mfu: share of the peak rate that matrix products reach, 0 to 1."""

    config: Experiment
    shape: Architecture
    pool: PoolLoad
    gpu: Gpu
    mfu: float

    def stages(self) -> list[CostedStage]:
        """Every rule in order."""
        costed = []
        for stage in stages(self.config):
            planners = [self._by(name) for name in dict.fromkeys(item.estimator for job in stage.jobs for item in job)]
            peaks = [peak for peak in (planner._memory(stage.name) for planner in planners) if peak is not None]
            jobs = [[(item, self._by(item.estimator)._cost(item)) for item in job] for job in stage.jobs]
            peak = max(peaks, default=None)
            costed.append(CostedStage(stage.name, jobs, peak, self._host(stage.name, peak)))
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
            "rank": lambda name, seed: Cost(disk=40 * self.pool.rows * self._ranked_share(name)),
            "select_budget": self._selected,
            "fine_tune": self._fine_tuned,
            "evaluate": self._evaluated,
            "measure_one_step": self._stepped,
            "retrain": self._retrained,
            "report": lambda: Cost(disk=PAGE_BYTES),
        }
        return costs[item.kind](*item.key) if item.kind in costs else Cost()

    @cached_property
    def gradients(self) -> Gradients:
        """The section with the width of the projection as a number: the one chosen, else the default one where none is yet."""
        return projected_by(self.config, known_projection(self.config)).gradients

    def _memory(self, stage: str) -> float | None:
        """Peak GPU memory of one process."""
        train, score = memory.training(self.config, self.shape), self._evaluation_memory()
        longest = {"collect_pool_gradients": self.config.model.max_length}
        longest["choose_dimension"] = max(self.config.model.max_length, self.config.targets.longest(self.config.model))
        longest["collect_target_gradients"] = self.config.targets.longest(self.config.model)
        fit = self._fit
        if stage in longest:
            side, made = stage.split("_")[1], self.estimator.fitted if self.estimator else None
            held = fit.held if made and (side in made.sides or side == "dimension") else 0.0
            return memory.gradients(self.config, self.shape, longest[stage]) + memory.HEADROOM * held
        if stage == "fit_curvature" and fit.memory:
            return memory.gradients(self.config, self.shape, self.config.model.max_length) + memory.HEADROOM * max(fit.memory, fit.held)
        if stage in ("score_pool", "collect_pool_states", "collect_target_states"):
            target = stage == "collect_target_states"
            length = self.config.targets.longest(self.config.model) if target else self.config.model.max_length
            return memory.evaluation(self.config, self.shape, max(1, self.config.gradients.token_budget // length), length)
        if stage == "measure_one_step":
            return memory.gradients(self.config, self.shape, self.config.model.max_length) + memory.HEADROOM * 8 * self.shape.parameters
        training = dict.fromkeys(("warm_up", "fine_tune", "retrain"), train)
        return {**training, "evaluate": score, "fine_tune_and_evaluate": max(train, score or 0)}.get(stage)

    def _host(self, stage: str, gpu_memory: float | None) -> float | None:
        """Peak host memory of a job."""
        pool, training = self.pool.tokens, self.config.training
        if stage in ("prepare_pool", "decontaminate"):
            return host_memory.prepared(self.pool.rows, self.config.pool.deduplicate == "near")
        if gpu_memory is None:
            return None
        shard = pool * max(self.shard_rows) / self.pool.rows
        encoded = dict.fromkeys(("collect_pool_gradients", "collect_pool_states", "score_pool"), shard)
        encoded |= {"warm_up": pool * (1 if self.config.warmup.files else self.config.warmup.fraction)}
        encoded |= {"retrain": pool, "fine_tune": pool * self._largest_share, "fine_tune_and_evaluate": pool * self._largest_share}
        trains = stage in ("warm_up", "fine_tune", "fine_tune_and_evaluate", "retrain")
        processes = training.processes if trains else 1
        return host_memory.with_model(self.config, self.shape, encoded.get(stage, 0.0), gpu_memory, processes, trains)

    @cached_property
    def _largest_share(self) -> float:
        """Of the pool, that a fine-tuning trains on."""
        return max((self._rows(run.budget) / self.pool.rows for run in experiment_runs(self.config) if run.trained), default=0.0)

    # sizes
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
    def _fit(self) -> FitCost:
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

    # costs
    def _fitted(self, epoch: int) -> Cost:
        fit, precision = self._fit, self.config.gradients.precision
        examples = min(fit.examples, self.pool.rows)
        share = examples / self.pool.rows
        tokens, load = self.pool.tokens * share, self._pool_load * share
        work = fit.passes * flops.gradients(self.shape, self.config.lora, load, self.config.gradients.activation_checkpointing)
        further = fit.token_operations * load.tokens + fit.example_operations * examples
        double = fit.row_operations * self.pool.rows + fit.once
        on_gpu = self._gpu_seconds(work, precision) + (further / self.gpu.fp32 + double / self.gpu.fp64) / self.mfu
        return Cost(fit.passes * tokens, work + further + double, on_gpu if fit.passes else 0.0, fit.disk)

    def _piloted(self) -> Cost:
        """A pilot's rows and all targets', at two widths."""
        rows, columns = min(PILOT, self.pool.rows), self.config.targets.size * len(self.config.tasks)
        share, load = rows / self.pool.rows, flops.Load(TARGET_TOKENS * columns, TARGET_TOKENS**2 * columns, TARGET_TOKENS * columns / 2)
        once = self._collected("pool", self._pool_load * share, self.pool.tokens * share, rows)
        once += self._collected("target", load, load.tokens, columns)
        return once * (2 * len(gradient_epochs(self.config)))

    def _pool_gradients(self, epoch: int, shard: str) -> Cost:
        rows = self.collected_rows[int(shard)]
        share = rows / self.pool.rows
        return self._collected("pool", self._pool_load * share, self.pool.tokens * share, rows) + Cost(disk=self._store(rows, epoch))

    @cached_property
    def _pool_load(self) -> flops.Load:
        return self.pool.collected(self.config.gradients.token_budget)

    def _target_gradients(self, epoch: int, task: str) -> Cost:
        size = self.config.targets.size
        load = flops.Load(TARGET_TOKENS * size, TARGET_TOKENS**2 * size, TARGET_TOKENS * size / 2)
        cost = self._collected("target", load, load.tokens, size) + Cost(disk=self._store(size, epoch))
        extra = min(self.estimator.extra_examples(self.config.gradients), self.pool.rows)
        if extra and (self.config.jobs.tasks == "separate" or task == next(iter(self.config.tasks))):  # once per job and epoch
            share = extra / self.pool.rows
            cost += self._collected("pool", self._pool_load * share, self.pool.tokens * share, extra)
        return cost

    def _scored(self, column: str, shard: str) -> Cost:
        """Losses under the untuned base; without the prompt, of the responses alone."""
        rows = self.shard_rows[int(shard)]
        load, share, tokens = self._pool_load, rows / self.pool.rows, self.pool.tokens
        if column == ALONE:
            tokens = float(self.pool.completion.mean()) * self.pool.rows
            load = flops.Load(tokens, load.squares * (tokens / self.pool.tokens) ** 2, load.completion)
        work = flops.scored(self.shape, None, load * share)
        disk = 13.0 * (-(-rows // CHUNK_ROWS) * CHUNK_ROWS)
        return Cost(tokens * share, work, self._gpu_seconds(work, self.config.gradients.precision), disk)

    def _pool_states(self, epoch: int, shard: str) -> Cost:
        rows = self.shard_rows[int(shard)]
        share = rows / self.pool.rows
        return self._passed(self._pool_load * share, self.pool.tokens * share) + Cost(disk=self._states(rows))

    def _target_states(self, epoch: int, task: str) -> Cost:
        size = self.config.targets.size
        load = flops.Load(TARGET_TOKENS * size, TARGET_TOKENS**2 * size, TARGET_TOKENS * size / 2)
        return self._passed(load, load.tokens) + Cost(disk=self._states(size))

    def _passed(self, load: flops.Load, tokens: float) -> Cost:
        """Forward passes alone, logits at completion tokens."""
        work = flops.scored(self.shape, self.config.lora, load)
        return Cost(tokens, work, self._gpu_seconds(work, self.config.gradients.precision))

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

    def _ranked_share(self, name: str) -> float:
        return min(1.0, self._rows(str(self.config.selection.rank_to)) / self.pool.rows) if selector(name).swept else 1.0

    def _gpu_seconds(self, operations: float, precision: str) -> float:
        return operations / (self.gpu.peak(precision) * self.mfu)

    def _trained(self, share: float) -> Cost:
        """One epoch over a share of the pool."""
        training = self.config.training
        load = self.pool.trained(training.micro_batch_size) * share
        work = flops.training(self.shape, self.config.lora, load, training.activation_checkpointing)
        more = self._deterministic_seconds(load, self.config.model.precision)
        return Cost(self.pool.tokens * share, work, self._gpu_seconds(work, self.config.model.precision) + more, 0.0, more)

    def _deterministic_seconds(self, load: flops.Load, precision: str) -> float:
        """What `model.deterministic` adds to a forward and backward pass."""
        if not self.config.model.deterministic:
            return 0.0
        backward = self.shape.layers * 8 * self.shape.query_width * load.squares
        return (SLOWER_BACKWARD - 1) * self._gpu_seconds(backward, precision)

    def _collected(self, side: str, load: flops.Load, tokens: float, rows: float) -> Cost:
        """Stored gradients of rows at one epoch, but for the disk."""
        settings = self.gradients
        row = self.estimator.cost(settings, self.config.lora.rank, self.layers, side)
        work = flops.gradients(self.shape, self.config.lora, load, settings.activation_checkpointing)
        seconds = self._gpu_seconds(work, settings.precision) + rows * row.traffic / (self.gpu.bandwidth * BANDWIDTH_REACHED)
        seconds += rows * (row.double_operations / self.gpu.fp64 + row.operations / self.gpu.fp32) / self.mfu
        more = self._deterministic_seconds(load, settings.precision)
        return Cost(tokens, work + rows * (row.double_operations + row.operations), seconds + more, 0.0, more)

    def _store(self, rows: int, epoch: int) -> float:
        """Bytes of a gradient store: whole chunks of fp16 rows, fp32 norm and loss, int32 tokens, int8 status; states in the last epoch."""
        stored = -(-rows // CHUNK_ROWS) * CHUNK_ROWS
        states = 2 * 2 * self.shape.hidden if epoch == self.config.warmup.epochs else 0
        return stored * (2 * self.dimension + 13 + states)

    def _states(self, rows: int) -> float:
        """Bytes of two kinds of fp16 states and of what stands beside them."""
        return -(-rows // CHUNK_ROWS) * CHUNK_ROWS * (13 + 2 * 2 * self.shape.hidden)

    def _rows(self, budget: str) -> int:
        wanted = parse_budget(budget)
        return min(wanted, self.pool.rows) if isinstance(wanted, int) else max(1, int(wanted * self.pool.rows))

    def _selected(self, name: str, seed: int, budget: str) -> Cost:
        return Cost(disk=self._rows(budget) * (TEXT_BYTES * self.pool.tokens / self.pool.rows + 200))

    def _fine_tuned(self, run: Run) -> Cost:
        return self._trained(self._rows(run.budget) / self.pool.rows) * int(run.epochs) + Cost(disk=4 * self.adapter)

    @cached_property
    def _validation_pass(self) -> Cost:
        """One forward pass over all validation examples, losses at half of their tokens."""
        size, half = self.config.targets.size * len(self.config.tasks), TARGET_TOKENS / 2
        work = flops.reference(self.shape, self.config.lora, size, half, half)
        return Cost(TARGET_TOKENS * size, work, self._gpu_seconds(work, self.config.model.precision))

    def _stepped(self, epoch: int) -> Cost:
        """Single steps: a forward pass over the validation examples after each, in float64."""
        passes = min(self.config.validation.one_step.rows, self.pool.rows) + 2
        once = self._validation_pass
        columns = self.config.targets.size * len(self.config.tasks)
        seconds = passes * once.flops / (self.gpu.fp64 * self.mfu)
        return Cost(passes * once.tokens, passes * once.flops, seconds, 8 * passes * columns)

    def _retrained(self, each: Retraining) -> Cost:
        """A fine-tuning on its share of the pool, and the losses after it."""
        share = self.config.validation.subsets.share if each.kind == SUBSET else each.share if each.kind == ONLY else 1 - each.share
        columns = self.config.targets.size * len(self.config.tasks)
        return self._trained(share) * self.config.finetune.epochs + self._validation_pass + Cost(disk=20 * columns)

    def _items(self, suite: str) -> list[Items]:
        settings = self.config.suites[suite]
        return [items_of(self.config, task, settings) for task in self.config.tasks.values() if task.suite == suite]

    def _evaluated(self, run: Run, suite: str, part: int | str) -> Cost:
        tuned = selector(run.selector).trains
        settings = self.config.suites[suite]
        kind = settings.quantisation or self.config.model.quantisation
        apart = tuned and kind != UNQUANTISED  # else adapters are merged, and nothing is left of them
        lora = self.config.lora if apart else None
        if part == LOSS.name:
            return sum((self._measured(lora, items) for items in self._items(suite)), Cost())
        width = memory.WIDTH[self.config.model.precision]
        launches = SECONDS_PER_LAYER[apart] * self.shape.layers if settings.backend == "hf" else 0.0  # vLLM replays them as one graph
        kept = memory.base(self.shape, width, kind)
        step = max(kept / (self.gpu.bandwidth * BANDWIDTH_REACHED), launches)
        whole = Cost()
        for items in self._items(suite):
            if items.answer:
                lengths = items.lengths(stops=tuned)
                answer = float(lengths.mean())
                work = flops.generation(self.shape, lora, items.items, items.prompt, answer)
                waiting = step * decoding_steps(items.items, lengths, settings)
            else:
                passes = items.items * (CHOICES if settings.backend == "vllm" else 1)
                work, waiting, answer = flops.likelihood(self.shape, lora, passes, items.prompt), 0.0, 0.0
            seconds = max(self._gpu_seconds(work, self.config.model.precision), waiting)
            tokens = items.items * (items.prompt + answer)
            whole += Cost(tokens, work, seconds, TEXT_BYTES * tokens)
        return whole

    def _measured(self, lora: Lora | None, items: Items) -> Cost:
        """One forward pass over prompts and reference responses, logits at the responses."""
        response = items.answer or CHOICE_TOKENS
        tokens = items.items * (items.prompt + response)
        work = flops.reference(self.shape, lora, items.items, items.prompt, response)
        return Cost(tokens, work, self._gpu_seconds(work, self.config.model.precision), TEXT_BYTES * tokens)

    def _evaluation_memory(self) -> float | None:
        peaks = [
            memory.evaluation(
                self.config,
                self.shape,
                self.config.suites[suite].batch_size,
                items.prompt + items.cap,
                self.config.suites[suite].quantisation or self.config.model.quantisation,
            )
            for suite, _ in evaluations(self.config)
            for items in self._items(suite)
        ]
        return max(peaks, default=None)


def decoding_steps(items: int, lengths: "np.ndarray", suite: Suite) -> float:
    """Steps until `items` answers of these lengths are there: a batch lasts as long as its longest; vLLM fills places as they free."""
    import numpy as np

    if suite.backend == "vllm":
        at_once = min(items, VLLM_SEQUENCES)
        return (items - at_once) * float(np.mean(lengths)) / at_once + longest_of(at_once, lengths)[0]
    whole, rest = divmod(items, suite.batch_size)
    return whole * longest_of(suite.batch_size, lengths)[0] + (longest_of(rest, lengths)[0] if rest else 0.0)
