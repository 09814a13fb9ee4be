"""Test items from a user's files: what a task without lm-eval tasks is evaluated on, by held-out loss."""

from equipoise.config import Experiment
from equipoise.conversation.reading import Summary
from equipoise.conversation.record import Record
from equipoise.conversation.sources import Row
from equipoise.data.targets import file_records
from equipoise.errors import UserError


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
