"""GSM-Plus: test items; every perturbation of a chosen item's seed question leaves the test set with it.

The response is the worked solution.
"""

import re
from typing import Any

from equipoise.benchmarks.benchmark import Benchmark, Doc, Items

FINAL_LINE = re.compile(r"#### *(.*?)\s*$")


def worked_solution(task: Any, doc: Doc, target: str) -> str:
    """The solution; where the evaluation asks for a boxed answer (our task definition), its `#### answer` line is put that way."""
    if not (task.config.metadata or {}).get("boxed"):
        return doc["solution"]
    return FINAL_LINE.sub(lambda found: f"The final answer is \\boxed{{{found[1]}}}.", doc["solution"])


BENCHMARK = Benchmark(
    items=Items(10552, 1, 150, 250, 1024, held_out_each=8),
    tasks=("equipoise_gsm_plus",),
    published="gsm_plus",
    response=worked_solution,
    columns=("question", "solution", "answer", "seed_question"),
    searched=("question",),
    family=lambda doc: doc["seed_question"],
)
