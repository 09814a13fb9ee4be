"""What a benchmark says about its validation examples; everything else is the same for all (data/targets.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from equipoise.errors import UserError

Doc = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """How validation examples are drawn from a benchmark's lm-eval tasks."""

    tasks: tuple[str, ...]
    """lm-eval tasks to draw from when the task of the experiment names none (it takes part in the matrix only)."""

    response: Callable[[Any, Doc], str] | None
    """(lm-eval task, document) -> the response to learn: what the evaluation counts as right."""

    columns: tuple[str, ...] = ()
    """Columns of its data that validation examples and grading read, whatever the lm-eval tasks read besides."""

    searched: tuple[str, ...] = ()
    """Columns whose words `decontaminate` looks for in the pool: an item's own, without the prompt around them."""

    chat: bool = True
    """Whether prompts are in chat form when no suite says so."""

    num_fewshot: int | None = None
    """Shots of the prompts when no suite says so; none: as the lm-eval task says."""

    split: str | None = None
    """Split to draw from in paper mode; none: the split that is evaluated."""

    leak_free_split: str | None = None
    """Split to draw from in leak_free mode; none: a file of substitutes is needed."""

    leak_free_evaluates: Callable[[Doc], bool] | None = None
    """Documents that are evaluated in leak_free mode; none: all."""

    family: Callable[[Doc], str] | None = None
    """Documents of one family leave the test set together."""

    accept: Callable[[Any, Doc, str], bool] | None = None
    """Set where the benchmark has no responses, so that they stand in the task's files ({prompt, response}):
    (lm-eval task, document, response) -> whether the response may serve."""


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


def target(task: Any, doc: Doc) -> str:
    """The target as lm-eval has it."""
    from equipoise.harness.documents import target_text

    return target_text(task, doc)
