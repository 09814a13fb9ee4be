"""Where validation examples come from: one module a benchmark, found by the name the config uses."""

from importlib import import_module

from equipoise.data.benchmarks.benchmark import Benchmark

BENCHMARKS = ("human_eval", "mbpp", "bbh", "mmlu", "gsm_plus", "math", "ifeval")


def benchmark(name: str) -> Benchmark:
    """The benchmark of a config name (one of `BENCHMARKS`)."""
    return import_module(f"equipoise.data.benchmarks.{name}").BENCHMARK


def searched_columns(name: str) -> tuple[str, ...]:
    """Columns whose words `decontaminate` looks for; none for `jsonl`, whose columns are the user's own."""
    return benchmark(name).searched if name in BENCHMARKS else ()
