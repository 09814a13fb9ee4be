"""BBH: test items, spread over its 27 subtasks.

Rows carry no reasoning, so the response is the closing sentence that the evaluation looks for.
"""

from equipoise.benchmarks.benchmark import Benchmark, Items

BENCHMARK = Benchmark(
    items=Items(6511, 27, 1000, 200, 1024),  # prompts with 3 shots
    tasks=("equipoise_bbh",),
    published="bbh",
    response=lambda task, doc, target: f"So the answer is {target}.",
    columns=("input", "target"),
    searched=("input",),
)
