"""The examples of a task's files: those to draw from, and those that its held-out loss is measured on where it has no lm-eval tasks."""

from collections.abc import Iterator
from dataclasses import replace

from equipoise.config import Experiment, Task
from equipoise.conversation.reading import AS_IT_IS, Summary, placed_records
from equipoise.conversation.record import Record
from equipoise.conversation.sources import Row, find_files, read_rows
from equipoise.errors import UserError


def file_records(task: Task, files: list[str], summary: Summary) -> Iterator[tuple[Row, Record]]:
    """The examples of a task's files beside their rows; one without an id is called after its file and line. Raises `UserError` for bad
    rows, of which a repeated id makes one, and for unreadable files."""
    options = replace(AS_IT_IS, format=task.format, columns=task.columns, bad_rows=task.bad_rows, repeated_ids="refuse")
    rows = (replace(row, made_id=f"{file.name}:{row.line}") for file in find_files(files) for row in read_rows(file))
    return placed_records(rows, options, summary)


def held_out_records(config: Experiment, name: str, validation: set[str]) -> tuple[list[tuple[Row, Record]], int]:
    """The records of a task's test files beside their rows, and how many were left out because they equal a validation example.

    Of a task without test files they are those of its files that were not drawn. validation: content hashes of the validation examples.
    Raises `UserError` for files that cannot be read, and where no record is left.
    """
    from equipoise.harness.documents import content_hash

    task = config.tasks[name]
    listed = list(file_records(task, task.test_files or task.files, Summary()))
    kept = [(row, record) for row, record in listed if content_hash(record.prompt) not in validation]
    if not kept:
        key = "test_files" if task.test_files else "files"
        raise UserError(
            f"tasks.{name}.{key}: all of their {len(listed)} examples are validation examples, so no item is left for held-out loss; write "
            f"{'other test_files' if task.test_files else 'test_files, or a smaller targets.size'}"
        )
    return kept, len(listed) - len(kept)
