"""HumanEval: 50 of its 164 test items serve for validation, 114 stay; the response is the canonical solution in a code fence."""

from equipoise.benchmarks.benchmark import Benchmark, Items
from equipoise.programs import fenced

BENCHMARK = Benchmark(
    items=Items(164, 1, 200, 250, 1024),
    tasks=("equipoise_human_eval",),
    metric="pass_at_1,none",
    published="human_eval",
    response=lambda task, doc, target: fenced(doc["prompt"] + doc["canonical_solution"]),
    columns=("prompt", "canonical_solution", "test", "entry_point"),
    searched=("prompt",),
    runs_programs=True,
)
