"""Processor time of one layer and step of decoding by transformers: what starts its kernels, which a GPU would wait for.

PYTHONPATH=tests python -m benchmarks.bench_decoding [--layers 8] [--steps 64]

A Llama with the modules of the 8 B one and maps so small that computing them takes next to nothing, on one thread; decoded plain, with an
adapter merged into its maps, and with one beside them. `planning/evaluating.py`, SECONDS_PER_LAYER, holds the numbers that the plan uses.
"""

import argparse
import statistics
import tempfile
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from equipoise.config import Lora
from equipoise.evaluation.decoding import decode
from equipoise.modelling.adapter import load_adapter, merged, take_off
from equipoise.planning.evaluating import SECONDS_PER_LAYER
from helpers.base import random_adapter

ROWS = 16


def seconds_per_layer(model, layers: int, steps: int, runs: int = 5) -> float:
    """Median over runs of the processor time of a step, by layer; embeddings and output layer count as parts of the layers."""
    context = torch.arange(5, 13)[None].expand(ROWS, -1).contiguous()
    mask, taken = torch.ones_like(context), []
    for _ in range(runs + 1):
        start = time.process_time()
        decode(model, context, mask, context.shape[1] + steps, -1, 0, lambda rows: [False] * len(rows))
        taken.append((time.process_time() - start) / (steps * layers))
    return statistics.median(taken[1:])


def measured(layers: int, steps: int, runs: int = 5) -> dict[str, float]:
    """Seconds of a layer and step: without an adapter, merged, and apart."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64}
    base = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **sizes)).to(torch.bfloat16).eval().requires_grad_(False)
    found = {"plain": seconds_per_layer(base, layers, steps, runs)}
    with tempfile.TemporaryDirectory() as folder:
        made = random_adapter(base, Lora(rank=8, alpha=8, dropout=0.0), 1)
        made.save_pretrained(folder)
        take_off(made, base)
        with merged(base, folder) as whole:
            found["merged"] = seconds_per_layer(whole, layers, steps, runs)
        found["apart"] = seconds_per_layer(load_adapter(base, folder), layers, steps, runs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=64)
    options = parser.parse_args()
    for name, seconds in measured(options.layers, options.steps).items():
        print(f"{name:6} {1e3 * seconds:.2f} ms a layer and step (the plan: {1e3 * SECONDS_PER_LAYER[name == 'apart']:.2f})")


if __name__ == "__main__":
    main()
