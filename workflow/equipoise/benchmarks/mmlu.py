"""MMLU: the validation split, spread over its 57 subjects, five shots, no template; the response is the letter."""

from equipoise.benchmarks.benchmark import Benchmark, Items

BENCHMARK = Benchmark(
    items=Items(14042, 57, 700, 0, held_out_each=0),  # prompts with 5 shots
    tasks=("mmlu",),
    metric="acc,none",
    published="mmlu",
    columns=("question", "answer"),
    searched=("question", "choices"),
    chat=False,
    num_fewshot=5,
    split="validation",
    leak_free_split="validation",
)
