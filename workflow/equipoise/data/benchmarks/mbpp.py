"""MBPP: 50 of the 399 verified problems over all splits serve for validation, 349 stay; leak-free: the validation split, tested on test."""

from equipoise.data.benchmarks.benchmark import Benchmark
from equipoise.programs import fenced

BENCHMARK = Benchmark(
    tasks=("equipoise_mbpp",),
    response=lambda task, doc: fenced(doc["code"]),
    columns=("text", "code", "test_list", "test_setup_code"),
    searched=("text", "test_list"),
    leak_free_split="validation",
    leak_free_evaluates=lambda doc: doc["split"] == "test",
)
