"""HumanEval: 50 of its 164 test items serve for validation, 114 stay; the response is the canonical solution in a code fence."""

from equipoise.data.benchmarks.benchmark import Benchmark
from equipoise.programs import fenced

BENCHMARK = Benchmark(
    tasks=("equipoise_human_eval",),
    response=lambda task, doc: fenced(doc["prompt"] + doc["canonical_solution"]),
    columns=("prompt", "canonical_solution", "test", "entry_point"),
    searched=("prompt",),
)
