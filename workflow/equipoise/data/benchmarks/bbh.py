"""BBH: test items, spread over its 27 subtasks.

Rows carry no reasoning, so the response is the closing sentence that the evaluation looks for.
"""

from equipoise.data.benchmarks.benchmark import Benchmark, target

BENCHMARK = Benchmark(
    tasks=("bbh_cot_fewshot",),
    response=lambda task, doc: f"So the answer is {target(task, doc)}.",
    columns=("input", "target"),
    searched=("input",),
)
