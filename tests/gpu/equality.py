"""What must hold on a GPU, against the CPU or against a computation that cannot share its faults. A check gives a number and its goal."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch

from equipoise.data.shards import plan_batches
from equipoise.evaluation.decoding import decode
from equipoise.evaluation.language_model import output_in_fp32
from equipoise.gradients.engine import Engine
from equipoise.gradients.loop import Collection, collect, run_or_halve
from equipoise.gradients.projection import Rademacher, Sketch
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.chat import pad
from gpu.models import Scale, random_examples, random_model


class Check(NamedTuple):
    """One line of the table: what, its number, the most (or for `at_least` the least) that it may be; no goal: told alone."""

    what: str
    value: float
    goal: float | None
    unit: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the goal is met."""
        return self.goal is None or (self.value >= self.goal if self.at_least else self.value <= self.goal)


def checks(scale: Scale, device: torch.device) -> Iterator[Check]:
    """Equality of sketches, rows, padding, halving, resumption, choices and generation."""
    yield from same_bytes(device, scale.dimension)
    here, there = (random_model(scale.small, scale.rank, torch.device("cpu"), torch.float32) for _ in range(2))
    there.to(device)
    examples = random_examples(scale.small["vocab_size"], min(scale.length, 64), 5)
    engines = [Engine(here), Engine(there)]
    makers = [LoraRows(Sketch({n: a * b for n, (a, b) in engine.capture.shapes.items()}, scale.dimension, 0)) for engine in engines]
    expected, found = (engine.run(examples, maker) for engine, maker in zip(engines, makers, strict=True))
    yield Check("rows in fp32: largest distance from the CPU's, relative", _distance(found.gradients, expected.gradients), 1e-4)
    yield Check("losses in fp32: largest distance from the CPU's, relative", _distance(found.loss[:, None], expected.loss[:, None]), 1e-5)
    alone = np.concatenate([engines[1].run([example], makers[1]).gradients for example in examples])
    yield Check("a padded row against the unpadded one (SDPA), relative", _distance(found.gradients, alone), 1e-4)
    halved, cuts = run_or_halve(_Tight(engines[1]), examples, makers[1], ())
    yield Check("batches cut for want of memory", cuts, 1, at_least=True)
    yield Check("rows of a batch that was halved, relative", _distance(halved.gradients, found.gradients), 1e-4)
    yield Check("chunks computed again after a stop (of 2)", _computed_again(engines[1], makers[1], scale), 1)
    yield from _choices(there, examples)
    yield Check("tokens of left-padded answers that differ from a single row's", _other_tokens(there, examples), 0)


def same_bytes(device: torch.device, dimension: int) -> Iterator[Check]:
    """Equal gradients projected here and on the CPU."""
    gradient = torch.randn(5, 300_000, generator=torch.Generator().manual_seed(0))
    for projector in (Sketch({"w": 300_000}, dimension, 0, repeats=2), Rademacher({"w": 300_000}, 256, 0)):
        found = []
        for place in (torch.device("cpu"), device):
            rows = torch.zeros(5, projector.dimension, dtype=torch.float64, device=place)
            projector.add(rows, "w", gradient.to(place))
            found.append(projector.finish(rows.cpu().numpy()).tobytes())
        yield Check(f"{type(projector).__name__}: bytes that differ from the CPU's", float(found[0] != found[1]), 0)


def _distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


class _Tight:
    """An engine for which three examples at a time are too many."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def run(self, examples, *rest):
        if len(examples) > 2:
            raise torch.OutOfMemoryError("as CUDA says it")
        return self._engine.run(examples, *rest)


class _Stopping:
    """A maker that counts its batches, and stops at one of them."""

    def __init__(self, maker, stop: int | None):
        self._maker, self._stop, self.dimension, self.batches = maker, stop, maker.dimension, 0

    def start(self, *arguments):
        self.batches += 1
        if self.batches == self._stop:
            raise KeyboardInterrupt
        self._maker.start(*arguments)

    def take(self, *arguments):
        self._maker.take(*arguments)

    def finish(self, loss):
        return self._maker.finish(loss)


def _computed_again(engine: Engine, maker: LoraRows, scale: Scale) -> float:
    """Chunks that a collection computes after one that was stopped in its second chunk."""
    examples = random_examples(scale.small["vocab_size"], 8, 1024 + 8)
    budget = 2048
    first = len(plan_batches([len(example.input_ids) for example in examples[:1024]], budget))
    whole = first + len(plan_batches([len(example.input_ids) for example in examples[1024:]], budget))
    attributes = {"settings": "gpu-check", "estimator": "tracin", "side": "pool", "epoch": 1, "scaled": False}
    with tempfile.TemporaryDirectory() as folder:
        collection = Collection(f"{folder}/store", 0, len(examples), attributes, (), budget)
        with suppress(KeyboardInterrupt):
            collect(collection, examples, engine, _Stopping(maker, first + 1))
        again = _Stopping(maker, None)
        collect(collection, examples, engine, again)
    return 2.0 if again.batches == whole else 1.0


def _choices(model, examples) -> Iterator[Check]:
    """Logits of compared positions in bf16 weights: fp32, as from hidden states in fp32, so that choices do not tie."""
    low = model.to(torch.bfloat16)
    batch = pad(examples, 0)["input_ids"].to(model.device)
    causal = low.get_base_model()
    with torch.no_grad():
        hidden = causal.model(input_ids=batch, use_cache=False)[0]
        with output_in_fp32(low):
            logits = low(input_ids=batch, use_cache=False).logits.float()
        expected = hidden.double() @ causal.get_output_embeddings().weight.double().T
    model.to(torch.float32)
    error = (logits.double() - expected).abs().max() / expected.abs().max()
    yield Check("choices on a bf16 base: logits against fp64 of its hidden states, relative", float(error), 1e-5)
    ties = [float((row.max(-1).values[:, None] == row).sum(-1).gt(1).float().mean()) for row in logits]
    yield Check("positions whose best logits tie", max(ties), 0.01)


def _other_tokens(model, examples) -> float:
    """Greedy tokens of prompts of several lengths in one batch, against each prompt alone."""
    prompts = [example.input_ids[: 4 + 3 * place] for place, example in enumerate(examples)]
    longest, new = max(map(len, prompts)), 12

    def answered(some):
        width = max(map(len, some))
        context = torch.tensor([[0] * (width - len(ids)) + ids for ids in some], device=model.device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in some], device=model.device)
        return decode(model, context, mask, width + new, -1, 0, lambda rows: [False] * len(rows))[:, width:].tolist()

    together, alone = answered(prompts), [answered([prompt])[0] for prompt in prompts]
    assert longest > len(prompts[0])
    return float(sum(a != b for row, other in zip(together, alone, strict=True) for a, b in zip(row, other, strict=True)))
