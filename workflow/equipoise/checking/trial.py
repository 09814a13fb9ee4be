"""How long an experiment will take here: a training step and a batch of gradients are timed on the real base, the rest reckoned.

Seconds a padded token, times the padded tokens of every stage, as `equipoise plan` counts them, and for every process its start. It holds
for a machine that does nothing else.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.budgets import budget_rows, parse_budget
from equipoise.collecting import sample_size
from equipoise.config import Experiment
from equipoise.experiment import epochs, experiment_runs, gradient_epochs, trained_runs
from equipoise.jobs import stages
from equipoise.planning.workload import PoolLoad
from equipoise.process import stage_threads

if TYPE_CHECKING:
    from equipoise.modelling.chat import Encoded

LIGHT = ("assemble_attribution", "fit_influence_model", "seal_attribution", "rank", "select_budget", "report")
LIGHT_SECONDS = 3.0
"""A stage without torch: interpreter, numpy, zarr, and what it reads."""
ENOUGH = 1.0
"""Seconds that are long enough to tell how fast something is."""


@dataclass(frozen=True)
class Speed:
    """Seconds a padded token of training, gradients and a forward pass alone; start: seconds until a process has the base in memory."""

    training: float
    gradients: float
    forward: float
    start: float


@dataclass(frozen=True)
class Expected:
    """Seconds until the selections are there, and until the report is."""

    selections: float
    report: float


def measured(config: Experiment, examples: Sequence["Encoded"], started: float) -> Speed:
    """Times the real base with the threads of the configuration. examples: to draw a batch from. started: when the process began to load
    what a stage loads, by `time.perf_counter`."""
    import torch

    from equipoise.gradients.engine import Engine
    from equipoise.gradients.projection import build_projector
    from equipoise.gradients.rows import LoraRows
    from equipoise.modelling.adapter import attach_adapter, lora_parameters
    from equipoise.modelling.base import load_base, resolve_device

    torch.set_num_threads(stage_threads(config, "warm_up"))
    base = load_base(config.model, config.model.precision, resolve_device(config.model.device))
    model = attach_adapter(base, config.lora, 0)
    start = time.perf_counter() - started
    usable = sorted((example for example in examples if example.completion_tokens), key=lambda each: len(each.input_ids))
    middle = usable[max(0, len(usable) // 2 - config.training.micro_batch_size) :][: config.training.micro_batch_size]
    optimizer = torch.optim.AdamW(lora_parameters(model).values())
    training = _per_token(lambda batch: _step(model, batch, optimizer), middle)
    forward = _per_token(lambda batch: _forward(model, batch), middle)
    model.eval()
    engine = Engine(model, config.gradients.activation_checkpointing)
    sizes = {name: rows * columns for name, (rows, columns) in engine.capture.shapes.items()}
    maker = LoraRows(build_projector(config.gradients.projection, sizes, 0))
    return Speed(training, _per_token(lambda batch: engine.run(batch, maker), middle), forward, start)


def _per_token(work: Callable[[Sequence["Encoded"]], object], examples: Sequence["Encoded"]) -> float:
    """Seconds a padded token of `work`: on one example, which also takes what happens once, then on twice as many as last time, until it
    takes long enough to be measured or these are all examples."""
    import torch

    size = 1
    while True:
        batch = examples[:size]
        start, processor = time.perf_counter(), time.process_time()
        work(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        if not torch.cuda.is_available():  # what other programs take of the processors now is not counted
            seconds = min(seconds, (time.process_time() - processor) / torch.get_num_threads())
        if size >= len(examples) or (size > 1 and seconds > ENOUGH):
            return seconds / (max(len(example.input_ids) for example in batch) * len(batch))
        size = min(2 * size, len(examples))


def _step(model: Any, batch: Sequence["Encoded"], optimizer: Any) -> None:
    loss = _forward(model, batch, learning=True)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def _forward(model: Any, batch: Sequence["Encoded"], learning: bool = False) -> Any:
    import torch

    from equipoise.modelling.chat import pad

    model.train(learning)
    with torch.set_grad_enabled(learning):
        return model(**{name: each.to(model.device) for name, each in pad(batch, 0).items()}, use_cache=False).loss


def expected(config: Experiment, speed: Speed, lengths: Sequence[int], items: Sequence[int], validation: int, cores: int) -> Expected:
    """Reckons every stage. lengths: tokens of the pool's rows. items: tokens of the test items. validation: of all validation examples.
    cores: that jobs may use at a time."""
    taken = np.array(lengths)
    load = PoolLoad(len(taken), taken, np.maximum(1, taken // 2))
    each = load.trained(config.training.micro_batch_size).tokens / len(taken)  # of a row, padded
    collected = load.collected(config.gradients.token_budget).tokens
    tokens = {
        "warm_up": speed.training * each * len(taken) * config.warmup.fraction * len(epochs(config)),
        "collect_pool_gradients": speed.gradients * collected * sample_size(config, len(taken)) / len(taken) * len(gradient_epochs(config)),
        "collect_target_gradients": speed.gradients * validation * len(gradient_epochs(config)),
        "collect_pool_states": speed.forward * collected,
        "collect_target_states": speed.forward * validation,
    }
    left = {stage.name: len(stage.jobs) for stage in stages(config)}
    chain = 0.0
    for name, jobs in left.items():
        if name in ("fine_tune", "evaluate", "fine_tune_and_evaluate", "report"):
            continue
        start = LIGHT_SECONDS if name in LIGHT else speed.start
        at_once = max(1, min(jobs, cores // stage_threads(config, name)))
        chain += start * -(-jobs // at_once) + tokens.get(name, 0.0)  # a model's stage has all threads: its shards share them
    runs = [budget_rows(parse_budget(run.budget), len(taken)) * each * int(run.epochs) * speed.training for run in trained_runs(config)]
    asked = len(experiment_runs(config)) * speed.forward * sum(items)
    processes = sum(jobs for name, jobs in left.items() if name in ("fine_tune", "evaluate", "fine_tune_and_evaluate"))
    return Expected(chain, chain + sum(runs) + asked + processes * speed.start / cores + LIGHT_SECONDS * 5)
