"""How fast the large model is collected, trained and decoded here, and how much memory it takes, beside what the plan says."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator

import torch

from equipoise.config import Lora
from equipoise.data.shards import plan_batches
from equipoise.evaluation.decoding import decode
from equipoise.gradients.adam import Moments, adam_constants
from equipoise.gradients.engine import Engine
from equipoise.gradients.loop import Collection, collect
from equipoise.gradients.projection import Sketch
from equipoise.gradients.rows import LoraRows
from equipoise.modelling.adapter import lora_parameters, merged, take_off
from equipoise.modelling.chat import pad
from equipoise.planning import flops
from equipoise.planning.evaluating import SECONDS_PER_LAYER
from equipoise.planning.hardware import BANDWIDTH_REACHED, GPUS
from gpu.equality import Check
from gpu.models import Scale, random_examples, random_model

LOGRA = 4696
"""Tokens/s of the best published collection: LoGra, 8 B on an A100 (3,430 at batch 1); bergson: about 13,000 of 6.9 B on a GH200."""
MFU = 0.4
SEQUENCES, ANSWER = 16, 32


def measures(scale: Scale, device: torch.device) -> Iterator[Check]:
    """Speeds of collection, training and decoding, their ratios to the plan's on this card, and the peak of memory."""
    model = random_model(scale.large, scale.rank, device, torch.bfloat16)
    examples = random_examples(scale.large["vocab_size"], scale.length, scale.examples)
    lengths = [len(example.input_ids) for example in examples]
    batches = plan_batches(lengths, scale.token_budget)
    engine = Engine(model)
    sizes = {name: a * b for name, (a, b) in engine.capture.shapes.items()}
    zeros, small = ({name: torch.full((numel,), value) for name, numel in sizes.items()} for value in (0.0, 1e-13))
    maker = LoraRows(Sketch(sizes, scale.dimension, 0), adam_constants(Moments(zeros, small, 100, 0.9, 0.999, 1e-8), "less", device))

    def ours() -> None:
        folder = tempfile.mkdtemp()
        attributes = {"settings": "bench", "estimator": "less", "side": "pool", "epoch": 1, "scaled": False}
        collect(Collection(f"{folder}/store", 0, len(examples), attributes, (), scale.token_budget), examples, engine, maker)
        shutil.rmtree(folder)

    works = {"plain": lambda: _plain(model, examples, batches), "ours": ours}
    peaks = {name: _peak(work, device) for name, work in works.items()}  # warms up, too
    taken = {name: [] for name in works}
    for _ in range(scale.runs):
        for name, work in works.items():
            taken[name].append(_timed(work, device))
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    tokens = sum(lengths)
    card = _card(device)
    yield Check("collection / plain forward and backward", seconds["ours"] / seconds["plain"], 1.1)
    yield Check("collection, tokens a second (LoGra published 4,696)", tokens / seconds["ours"], LOGRA, "tok/s", at_least=True)
    load = flops.Load(tokens, sum(n * n for n in lengths), tokens / 2)
    lora = Lora(rank=scale.rank)
    for name, count, work in (("collection", flops.gradients, "ours"), ("training", flops.training, "plain")):
        planned = count(scale.shape, lora, load, False) / (GPUS[card].bf16 * MFU)
        yield Check(f"{name}, seconds / the plan's ({card}, {MFU:.0%})", seconds[work] / planned, 1.25)
    apart = _step_seconds(model, device)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        base = model.get_base_model()
        take_off(model, base)
        with merged(base, folder) as whole:
            together = _step_seconds(whole, device)
    yield Check("decoding with a merged adapter, seconds a step / the plan's", together / _planned_step(scale, card), 1.25)
    yield Check("decoding, seconds a step with the adapter apart / merged", apart / together, None)
    if device.type == "cuda":
        yield Check("collection, peak memory / the plan's", peaks["ours"] / _planned_memory(scale, max(lengths)), 1.0)
        yield Check("collection, peak memory", peaks["ours"] / 1e9, None, "GB")


def _planned_memory(scale: Scale, longest: int) -> float:
    from equipoise.config_file import parse_config
    from equipoise.planning import memory

    section = {"name": "x", "base": "x"}
    config = parse_config(
        {"experiment": "x", "model": section, "pool": {"dataset": "x/x"}, "tasks": {"x": {"capability": "x", "files": ["x.jsonl"]}}}
    )
    gradients = config.gradients.model_copy(update={"token_budget": scale.token_budget})
    config = config.model_copy(update={"gradients": gradients, "lora": Lora(rank=scale.rank)})
    return memory.gradients(config, scale.shape, longest)


def _card(device: torch.device) -> str:
    """The plan's name of this card; of one that it does not know, the nearest by memory."""
    if device.type != "cuda":
        return "H100"
    held = torch.cuda.get_device_properties(device)
    named = [name for name in GPUS if name in held.name]
    return named[0] if named else min(GPUS, key=lambda name: abs(GPUS[name].memory - held.total_memory))


def _planned_step(scale: Scale, card: str) -> float:
    shape = scale.shape
    return max(2 * shape.parameters / (GPUS[card].bandwidth * BANDWIDTH_REACHED), SECONDS_PER_LAYER[False] * shape.layers)


def _step_seconds(model, device: torch.device) -> float:
    context = torch.arange(5, 13, device=device)[None].expand(SEQUENCES, -1).contiguous()
    mask = torch.ones_like(context)

    def answered() -> None:
        decode(model, context, mask, context.shape[1] + ANSWER, -1, 0, lambda rows: [False] * len(rows))

    answered()
    return _timed(answered, device) / ANSWER


def _plain(model, examples, batches) -> None:
    """Forward and backward of the unmodified PEFT model, as training does it."""
    parameters = list(lora_parameters(model).values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    for batch in batches:
        padded = {name: tensor.to(model.device) for name, tensor in pad([examples[i] for i in batch], 0).items()}
        with torch.autocast(model.device.type, torch.bfloat16):
            model(**padded).loss.backward()
    model.zero_grad(set_to_none=True)
    for parameter in parameters:
        parameter.requires_grad_(False)


def _timed(work, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak(work, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else 0.0
