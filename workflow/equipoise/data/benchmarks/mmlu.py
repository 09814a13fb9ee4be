"""MMLU: the validation split, spread over its 57 subjects, five shots, no template; the response is the letter."""

from equipoise.data.benchmarks.benchmark import Benchmark, target

BENCHMARK = Benchmark(
    tasks=("mmlu",),
    response=lambda task, doc: task.config.target_delimiter + target(task, doc),
    columns=("question", "answer"),
    searched=("question", "choices"),
    chat=False,
    num_fewshot=5,
    split="validation",
    leak_free_split="validation",
)
