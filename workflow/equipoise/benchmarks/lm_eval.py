"""Any lm-eval task, group or tag by name: its own prompts and targets, from a split that is not evaluated; the response is its target."""

from equipoise.benchmarks.benchmark import Benchmark, Items

BENCHMARK = Benchmark(items=Items(1000, 1, 300, 100, 256, held_out_each=0), any_task=True)
