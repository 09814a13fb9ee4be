"""The user's own files of {prompt, response}."""

from equipoise.benchmarks.benchmark import Benchmark, Items

BENCHMARK = Benchmark(items=Items(1000, 1, 200, 200, 256, held_out_each=0), files="examples")
