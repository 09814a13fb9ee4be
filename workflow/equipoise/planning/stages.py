"""The jobs of an experiment, rule by rule, each with its cost: the same cut that the Snakefile makes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from equipoise.budgets import parse_budget
from equipoise.config import Experiment, Suite
from equipoise.data.fetch import needs_hub
from equipoise.data.shards import CHUNK_ROWS, chunk_count, plan_shards
from equipoise.experiment import ZERO_SHOT, evaluations, experiment_runs, folds
from equipoise.layout import Layout, Run, shard_label
from equipoise.planning import flops, memory
from equipoise.planning.architecture import Architecture
from equipoise.planning.costs import Cost, Part, Stage
from equipoise.planning.hardware import Gpu
from equipoise.planning.workload import Items, PoolLoad, items_of, longest_of
from equipoise.selectors import selector

if TYPE_CHECKING:
    import numpy as np

ADAM_TRAFFIC = 154  # bytes moved an adapter parameter and pool example: outer product, Adam map, sketch, as elementwise operations
PLAIN_TRAFFIC = 78  # the same without the Adam map
BANDWIDTH_REACHED = 0.7  # share of the data sheet's bandwidth that elementwise operations and decoding reach
SECONDS_A_LAYER = 0.7e-3  # a decoding step is bound by kernel launches below this
VLLM_SEQUENCES = 256  # vLLM's default limit of sequences at a time
CHOICES = 4  # of a multiple-choice item: vLLM passes over the prompt for each, transformers once for all
TARGET_TOKENS = 400  # of a validation example, response included
STORED_WEIGHT = 2  # bytes of a base's weight on the hub (bf16)
TEXT_BYTES = 4.5  # of a token, in pool.parquet and selections


@dataclass(frozen=True)
class Planner:
    """Makes the stages of one experiment; mfu: share of the peak rate that matrix products reach, 0 to 1."""

    config: Experiment
    shape: Architecture
    pool: PoolLoad
    gpu: Gpu
    mfu: float

    @property
    def layout(self) -> Layout:
        """Where the results lie."""
        return self.config.layout

    @property
    def adapter(self) -> int:
        """Parameters p of the adapter."""
        return self.shape.adapter_parameters(self.config.lora)

    @property
    def columns(self) -> int:
        """Validation examples of all tasks."""
        return self.config.targets.size * len(self.config.tasks)

    @property
    def epochs(self) -> range:
        """Warm-up epochs."""
        return range(1, self.config.warmup.epochs + 1)

    def stages(self) -> list[Stage]:
        """Every rule in order."""
        return [*self.preparation(), *self.collection(), *self.choice(), *self.tuning(), self.report()]

    # stages
    def preparation(self) -> list[Stage]:
        """fetch, prepare_targets, decontaminate, prepare_pool, warm_up."""
        layout, tasks = self.layout, list(self.config.tasks)
        pool = Part((layout.pool, layout.pool_manifest), Cost(self.pool.tokens, disk=TEXT_BYTES * self.pool.tokens))
        targets = [[Part((layout.target_manifest(t),), Cost(disk=TEXT_BYTES * TARGET_TOKENS * self.config.targets.size))] for t in tasks]
        fetched = Part((layout.fetch_manifest,), Cost(disk=STORED_WEIGHT * self.shape.parameters))
        searched = Part((layout.contamination,), Cost())
        return [
            *([Stage("fetch", [[fetched]])] if needs_hub(self.config) else []),
            Stage("prepare_targets", _folded(targets, self.config.jobs.tasks == "together")),
            *([Stage("decontaminate", [[searched]])] if self.config.pool.decontaminate != "skip" else []),
            Stage("prepare_pool", [[pool]]),
            Stage("warm_up", [self._warm_up()], memory.training(self.config, self.shape)),
        ]

    def _warm_up(self) -> list[Part]:
        epoch = self._trained(self.config.warmup.fraction) + Cost(disk=12 * self.adapter)
        # the manifests of all epochs are written together, at the end
        return [Part(tuple(self.layout.checkpoint_manifest(e) for e in self.epochs), epoch * len(self.epochs))]

    def collection(self) -> list[Stage]:
        """collect_pool_gradients and collect_target_gradients."""
        longest = (self.config.model.max_length, self.config.targets.longest(self.config.model))
        peaks = [memory.gradients(self.config, self.shape, tokens) for tokens in longest]
        together = self.config.jobs.epochs == "together"
        shards = plan_shards(self.pool.rows, min(self.config.pool.shards, chunk_count(self.pool.rows)))
        of_pool = []
        for shard, (start, stop) in enumerate(shards):
            share = self.pool.collected(self.config.gradients.token_budget) * ((stop - start) / self.pool.rows)
            tokens = self.pool.tokens * (stop - start) / self.pool.rows
            parts = []
            for epoch in self.epochs:
                cost = self._collected(share, tokens, stop - start, ADAM_TRAFFIC) + Cost(disk=self._store(stop - start, epoch))
                parts.append([Part((self.layout.pool_gradients_manifest(epoch, shard_label(shard)),), cost)])
            of_pool += _folded(parts, together)
        return [Stage("collect_pool_gradients", of_pool, peaks[0]), Stage("collect_target_gradients", self._targets(together), peaks[1])]

    def _targets(self, together: bool) -> list[list[Part]]:
        size = self.config.targets.size
        load = flops.Load(TARGET_TOKENS * size, TARGET_TOKENS**2 * size, TARGET_TOKENS * size / 2)
        by_epoch = []
        for epoch in self.epochs:
            cost = self._collected(load, load.tokens, size, PLAIN_TRAFFIC) + Cost(disk=self._store(size, epoch))
            parts = [[Part((self.layout.target_gradients_manifest(epoch, task),), cost)] for task in self.config.tasks]
            by_epoch.append(_folded(parts, self.config.jobs.tasks == "together"))
        if not together:
            return [job for jobs in by_epoch for job in jobs]
        return [[part for job in jobs for part in job] for jobs in zip(*by_epoch, strict=True)]

    def choice(self) -> list[Stage]:
        """assemble_attribution, seal_attribution, rank, select_budget: on CPUs."""
        layout = self.layout
        matrices = sorted({selector(name).matrix for name in self.config.selectors} - {None} | {"influence"})
        shards = range(0, min(self.config.pool.shards, chunk_count(self.pool.rows)), self.config.jobs.assembly)
        rows = self.pool.rows / len(shards)
        width = {"influence": self.dimension * len(self.epochs)}
        assembled = [
            [
                Part(
                    (layout.matrix_shard_manifest(matrix, shard_label(shard)),),
                    Cost(flops=flops.attribution(rows, self.columns, width.get(matrix, self.shape.hidden)), disk=4 * rows * self.columns),
                )
            ]
            for matrix in matrices
            for shard in shards
        ]
        runs = [run for run in experiment_runs(self.config) if run.selector != ZERO_SHOT]
        rankings = dict.fromkeys((run.selector, run.selection_seed) for run in runs)
        picks = dict.fromkeys((run.selector, run.selection_seed, run.budget) for run in runs)
        share = min(1.0, self._rows(str(self.config.selection.rank_to)) / self.pool.rows)
        ranked = [
            [Part((layout.ranking(name, seed),), Cost(disk=40 * self.pool.rows * (1.0 if name == "full" else share)))]
            for name, seed in rankings
        ]
        chosen = [[Part((layout.selection(*pick),), Cost(disk=self._rows(pick[2]) * self._selection_line()))] for pick in picks]
        return [
            Stage("assemble_attribution", assembled),
            Stage("seal_attribution", [[Part((layout.matrix_manifest(matrix),), Cost())] for matrix in matrices]),
            Stage("rank", ranked),
            Stage("select_budget", chosen),
        ]

    def tuning(self) -> list[Stage]:
        """fine_tune and evaluate, or one job a fold for both."""
        tuned = {run: self._fine_tuned(run) for run in experiment_runs(self.config) if run.selector != ZERO_SHOT}
        scored = {run: [self._evaluated(run, *wanted) for wanted in evaluations(self.config)] for run in experiment_runs(self.config)}
        train, score = memory.training(self.config, self.shape), self._evaluation_memory()
        if self.config.jobs.runs == "separate":
            return [
                Stage("fine_tune", [[part] for part in tuned.values()], train),
                Stage("evaluate", [[part] for parts in scored.values() for part in parts], score),
            ]
        jobs = []
        for fold, runs in folds(self.config).items():
            parts = [part for run in runs for part in ([tuned[run]] if run in tuned else []) + scored[run]]
            jobs.append([*parts, Part((self.layout.fold_manifest(*fold),), Cost())])
        return [Stage("fine_tune_and_evaluate", jobs, max(train, score or 0))]

    def report(self) -> Stage:
        """report: on a CPU."""
        return Stage("report", [[Part((f"{self.layout.report}/index.html",), Cost(disk=20e6))]])

    # costs
    @property
    def dimension(self) -> int:
        """Numbers a projected gradient."""
        projection = self.config.gradients.projection
        return self.adapter if projection.kind == "identity" else projection.dimension

    def _gpu_seconds(self, operations: float, precision: str) -> float:
        return operations / (self.gpu.peak(precision) * self.mfu)

    def _trained(self, share: float) -> Cost:
        """One epoch over a share of the pool."""
        training = self.config.training
        load = self.pool.trained(training.micro_batch_size) * share
        work = flops.training(self.shape, self.config.lora, load, training.activation_checkpointing)
        return Cost(self.pool.tokens * share, work, self._gpu_seconds(work, self.config.model.precision))

    def _collected(self, load: flops.Load, tokens: float, rows: int, traffic: float) -> Cost:
        """Gradients of rows at one epoch, projected."""
        settings = self.config.gradients
        work = flops.gradients(self.shape, self.config.lora, load, settings.activation_checkpointing)
        seconds = self._gpu_seconds(work, settings.precision)
        seconds += traffic * self.adapter * rows / (self.gpu.bandwidth * BANDWIDTH_REACHED)
        if settings.projection.kind == "rademacher":
            dense = 2.0 * self.adapter * self.dimension * rows
            work, seconds = work + dense, seconds + dense / (self.gpu.fp64 * self.mfu)
        return Cost(tokens, work, seconds)

    def _store(self, rows: int, epoch: int) -> float:
        """Bytes of a gradient store: whole chunks of fp16 rows, fp32 norm and loss, int32 tokens, int8 status; states in the last epoch."""
        stored = -(-rows // CHUNK_ROWS) * CHUNK_ROWS
        states = 2 * 2 * self.shape.hidden if epoch == self.config.warmup.epochs else 0
        return stored * (2 * self.dimension + 13 + states)

    def _rows(self, budget: str) -> int:
        wanted = parse_budget(budget)
        return min(wanted, self.pool.rows) if isinstance(wanted, int) else max(1, int(wanted * self.pool.rows))

    def _selection_line(self) -> float:
        return TEXT_BYTES * self.pool.tokens / self.pool.rows + 200

    def _fine_tuned(self, run: Run) -> Part:
        share = self._rows(run.budget) / self.pool.rows
        return Part((self.layout.run_manifest(run),), self._trained(share) * int(run.epochs) + Cost(disk=4 * self.adapter))

    def _items(self, suite: str) -> list[Items]:
        settings = self.config.suites[suite]
        return [items_of(self.config, task, settings) for task in self.config.tasks.values() if task.suite == suite]

    def _evaluated(self, run: Run, suite: str, suite_seed: int) -> Part:
        lora = None if run.selector == ZERO_SHOT else self.config.lora
        settings = self.config.suites[suite]
        width = memory.WIDTH[self.config.model.precision]
        step = max(width * self.shape.parameters / (self.gpu.bandwidth * BANDWIDTH_REACHED), SECONDS_A_LAYER * self.shape.layers)
        found = Cost()
        for items in self._items(suite):
            if items.answer:
                lengths = items.lengths(stops=run.selector != ZERO_SHOT)
                answer = float(lengths.mean())
                work = flops.generation(self.shape, lora, items.items, items.prompt, answer)
                waiting = step * decoding_steps(items.items, lengths, settings)
            else:
                passes = items.items * (CHOICES if settings.backend == "vllm" else 1)
                work, waiting, answer = flops.likelihood(self.shape, lora, passes, items.prompt), 0.0, 0.0
            seconds = max(self._gpu_seconds(work, self.config.model.precision), waiting)
            tokens = items.items * (items.prompt + answer)
            found += Cost(tokens, work, seconds, TEXT_BYTES * tokens)
        return Part((self.layout.scores(run, suite, suite_seed), self.layout.samples(run, suite, suite_seed)), found)

    def _evaluation_memory(self) -> float | None:
        peaks = [
            memory.evaluation(self.config, self.shape, self.config.suites[suite].batch_size, items.prompt + items.cap, not items.answer)
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


def _folded(jobs: list[list[Part]], together: bool) -> list[list[Part]]:
    """The jobs as they are, or all in one."""
    return [[part for job in jobs for part in job]] if together else jobs
