"""The benchmarks: every fact of each, once. Configuration, targets, evaluation, planning and report ask here; nothing heavy is imported.

A new benchmark is one module with a `BENCHMARK`, and its name in `_MODULES` (docs/extending.md).
"""

from collections.abc import Iterable
from importlib import import_module

from equipoise.benchmarks.benchmark import Benchmark

_MODULES = ("jsonl", "human_eval", "mbpp", "bbh", "mmlu", "gsm_plus", "math", "ifeval", "lm_eval")
BENCHMARKS: dict[str, Benchmark] = {name: import_module(f"equipoise.benchmarks.{name}").BENCHMARK for name in _MODULES}
"""By the name a configuration uses, in the order of the tables."""


def concerned(name: str, lm_eval_tasks: Iterable[str]) -> list[Benchmark]:
    """The benchmark called `name`, and those whose own lm-eval tasks are among `lm_eval_tasks`."""
    wanted = set(lm_eval_tasks)
    return [entry for known_as, entry in BENCHMARKS.items() if known_as == name or not wanted.isdisjoint(entry.tasks)]
