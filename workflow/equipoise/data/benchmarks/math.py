"""MATH: test items, spread over its seven types, or the train split when leak-free; the response is the worked solution."""

from equipoise.data.benchmarks.benchmark import Benchmark

BENCHMARK = Benchmark(
    tasks=("equipoise_math",),
    response=lambda task, doc: doc["solution"],
    columns=("problem", "solution"),
    searched=("problem",),
    leak_free_split="train",
)
