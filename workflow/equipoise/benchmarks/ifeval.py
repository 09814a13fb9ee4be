"""IFEval: 50 of its 541 prompts, 491 stay.

It has no responses, so they come from a file, and only those that pass the strict checker serve.
"""

from equipoise.benchmarks.benchmark import Benchmark, Items

BENCHMARK = Benchmark(
    items=Items(541, 1, 80, 400, 1280),
    tasks=("ifeval",),
    metric="prompt_level_strict_acc,none",
    published="ifeval",
    files="responses",
    accept=lambda task, doc, response: bool(task.process_results(doc, [response])["prompt_level_strict_acc"]),
    columns=("key", "prompt", "instruction_id_list", "kwargs"),
    searched=("prompt",),
    punkt_tab=frozenset({"length_constraints:number_sentences", "change_case:capital_word_frequency"}),
)
