"""MATH: test items, spread over its seven types, or the train split when leak-free; the response is the worked solution."""

from equipoise.benchmarks.benchmark import Benchmark, Items

BENCHMARK = Benchmark(
    items=Items(5000, 7, 150, 400, 1024),
    tasks=("equipoise_math",),
    published="math",
    response=lambda task, doc, target: doc["solution"],
    columns=("problem", "solution"),
    searched=("problem",),
    leak_free_split="train",
)
