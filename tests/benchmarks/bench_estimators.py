"""What every estimator adds to a plain backward pass. `python tests/benchmarks/bench_estimators.py [--runs 3] [--dimension 16384]`

The miniature's base with the demo's adapter (r=8 on q, k, v, o; sketch to 16,384), 128 pool examples and 64 validation examples, one
checkpoint of random weights; CPU, fp32, medians of alternating runs.

plain       unmodified PEFT model, eval mode, LoRA gradients on, model(input_ids, attention_mask, labels).loss.backward(), our batches
collection  of the pool's rows (of the targets' rows): forward, backward, the estimator's rows, sketch, store on disk; over plain
fitting     of curvature or Fisher matrix over examples of the pool, loading the base included: its share of fitting and collecting an epoch
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from equipoise.process import keep_freed_memory

keep_freed_memory()

from bench_gradients import MINIATURE, alternate, begun, seconds  # noqa: E402

from equipoise.comparison import compared  # noqa: E402
from equipoise.config import Experiment  # noqa: E402
from equipoise.curvature.fit import fit_curvature  # noqa: E402
from equipoise.data.encoding import encode_file  # noqa: E402
from equipoise.data.shards import plan_batches  # noqa: E402
from equipoise.estimators import ESTIMATORS, estimator  # noqa: E402
from equipoise.gradients.collect import engine_at  # noqa: E402
from equipoise.gradients.loop import Collection, collect  # noqa: E402
from equipoise.modelling.adapter import lora_parameters  # noqa: E402
from equipoise.modelling.base import load_tokenizer  # noqa: E402
from equipoise.modelling.chat import Encoded, pad  # noqa: E402
from equipoise.store.artefact import open_artefact  # noqa: E402
from helpers.gradient_experiment import make_experiment  # noqa: E402

ROWS, TARGETS = 128, 64
LARGE_POOL = 288_579  # rows of the paper's pool


def experiment(folder: Path, names: list[str], dimension: int) -> Experiment:
    return make_experiment(
        folder,
        rows=ROWS,
        epochs=1,
        drawn=TARGETS,
        model={"base": str(MINIATURE), "max_length": 64},
        lora={"rank": 8, "alpha": 32, "target_modules": "attention"},
        gradients={"token_budget": 4096, "projection": {"dimension": dimension}, "ekfac": {"fisher_examples": ROWS}},
        validation={"estimators": names},
    )


def plain(model, examples: list[Encoded], batches: list[list[int]]) -> None:
    parameters = lora_parameters(model).values()
    for parameter in parameters:
        parameter.requires_grad_(True)
    for batch in batches:
        model(**pad([examples[i] for i in batch], 0)).loss.backward()
    model.zero_grad(set_to_none=True)
    for parameter in parameters:
        parameter.requires_grad_(False)


def collected(engine, maker, examples: list[Encoded], budget: int) -> None:
    folder = tempfile.mkdtemp()
    try:
        attributes = {"settings": "bench", "estimator": "any", "side": "pool", "epoch": 1, "scaled": True}
        collect(Collection(f"{folder}/store", 0, len(examples), attributes, (), budget), examples, engine, maker)
    finally:
        shutil.rmtree(folder)


def measure(config: Experiment, runs: int) -> None:
    tokenizer, budget = load_tokenizer(config.model), config.gradients.token_budget
    files = {"pool": open_artefact(config, "pool").only_file(), "target": open_artefact(config, "targets", task="alpha").only_file()}
    examples = {side: encode_file(file, tokenizer, config.model.max_length) for side, file in files.items()}
    examples = {side: [each for each in listed if each.completion_tokens] for side, listed in examples.items()}
    engine = engine_at(config, 1)
    works: dict[str, Callable[[], object]] = {}
    for side, listed in examples.items():
        batches = plan_batches([len(example.input_ids) for example in listed], budget)
        works[f"plain {side}"] = lambda listed=listed, batches=batches: plain(engine.model, listed, batches)
    fits: dict[str, float] = {}
    for each in compared(config):
        name = each.gradients.estimator
        entry = estimator(name)
        if entry.fitted and not entry.fitted.from_rows:
            fits[name] = seconds(lambda each=each: fit_curvature(each, [1]))
        rows = entry.load()(each)
        for side, listed in examples.items():
            made = []
            taken = seconds(lambda rows=rows, side=side, made=made: made.append(rows.maker(engine, side, 1)))
            if entry.extra_examples(each.gradients) and side == "target":
                fits[name] = taken
            works[f"{name} {side}"] = lambda maker=made[0], listed=listed: collected(engine, maker, listed, budget)
    median = alternate(works, runs)
    sizes = ", ".join(f"{len(listed)} {side} examples" for side, listed in examples.items())
    print(f"the miniature's base: {sizes}, p = {sum(p.numel() for p in lora_parameters(engine.model).values()):,}")
    for each in compared(config):
        name = each.gradients.estimator
        pool, target = (median[f"{name} {side}"] / median[f"plain {side}"] for side in ("pool", "target"))
        line = f"  {name:12} collection / plain {pool:6.2f}   targets / plain {target:6.2f}"
        if name in fits:
            counted = min(estimator(name).extra_examples(each.gradients) or each.gradients.ekfac.fisher_examples, len(examples["pool"]))
            per_row = median[f"{name} pool"] / len(examples["pool"])
            share = fits[name] / (fits[name] + median[f"{name} pool"])
            large = estimator(name).extra_examples(each.gradients) or 4096
            at_scale = large * fits[name] / counted / (large * fits[name] / counted + LARGE_POOL * per_row)
            line += f"   fitting an example {fits[name] / counted / per_row:5.2f} rows; fitting's share {share:4.0%} here, "
            line += f"{at_scale:.1%} with {LARGE_POOL:,} rows"
        print(line)
    if {"tracin pool", "ekfac pool"} <= median.keys():
        print(f"  ekfac / tracin, pool side          {median['ekfac pool'] / median['tracin pool']:6.2f}  (goal: at most 1.05)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=16384, help="numbers that a row is projected to")
    options = begun(parser, runs=3)
    with tempfile.TemporaryDirectory() as folder:
        measure(experiment(Path(folder), [each.name for each in ESTIMATORS], options.dimension), options.runs)


if __name__ == "__main__":
    main()
