"""Whether a benchmark's loaded data hold the columns that are read of them."""

from typing import Any

from equipoise.benchmarks.benchmark import Benchmark
from equipoise.errors import UserError


def refuse_missing_columns(source: Benchmark, where: str, leaf: str, task: Any) -> None:
    """Raises `UserError` naming data set, split and column when a split to evaluate or to draw from lacks one of `source.columns`.

    where: the task of the experiment; task: the loaded lm-eval task `leaf`.
    """
    wanted = (task.config.test_split or task.config.validation_split, source.split, source.leak_free_split)
    for split in dict.fromkeys(split for split in wanted if split in task.dataset):
        found = task.dataset[split].column_names
        for column in source.columns:
            if column not in found:
                raise UserError(
                    f"{where}: {task.config.dataset_path or leaf}, split {split}, has no column {column!r}, it has {', '.join(found)}; "
                    "check the data set's id and revision"
                )
