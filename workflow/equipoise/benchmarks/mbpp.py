"""MBPP: 50 of the 399 verified problems over all splits serve for validation, 349 stay; leak-free: the validation split, tested on test."""

from equipoise.benchmarks.benchmark import Benchmark, Items
from equipoise.programs import fenced

BENCHMARK = Benchmark(
    items=Items(399, 1, 150, 200, 1024),
    tasks=("equipoise_mbpp",),
    metric="pass_at_1,none",
    published="mbpp",
    response=lambda task, doc, target: fenced(doc["code"]),
    columns=("text", "code", "test_list", "test_setup_code"),
    searched=("text", "test_list"),
    leak_free_split="validation",
    leak_free_evaluates=lambda doc: doc["split"] == "test",
    runs_programs=True,
)
