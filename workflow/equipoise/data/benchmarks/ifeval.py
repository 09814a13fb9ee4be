"""IFEval: 50 of its 541 prompts, 491 stay.

It has no responses, so they come from a file, and only those that pass the strict checker serve.
"""

from typing import Any

from equipoise.data.benchmarks.benchmark import Benchmark, Doc
from equipoise.harness.punkt import refuse_without_punkt_tab


def follows_instructions(task: Any, doc: Doc, response: str) -> bool:
    """Whether lm-eval's strict checker finds every instruction of the prompt followed. Raises `UserError` where it cannot run."""
    refuse_without_punkt_tab(f"lm-eval task {task.config.task}", [doc])
    return bool(task.process_results(doc, [response])["prompt_level_strict_acc"])


BENCHMARK = Benchmark(
    tasks=("ifeval",),
    response=None,
    columns=("key", "prompt", "instruction_id_list", "kwargs"),
    searched=("prompt",),
    accept=follows_instructions,
)
