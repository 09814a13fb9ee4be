"""The file of a prepared pool, written as rows come: a row group holds at most so many rows and so many bytes of text."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from equipoise.conversation.record import Record, to_columns

GROUP_ROWS = 1 << 16
GROUP_BYTES = 1 << 26
"""A row group is what a reader of some rows has in memory, and the writer as long as it fills; both count rows as they are in memory."""


class PoolWriter:
    """Writes records with their token counts to a Parquet file, whose row groups depend on the records alone. A context manager."""

    def __init__(self, path: str | Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = ("prompt", "response", "id", "source", "messages", "tools", "metadata")
        columns = [("row", pa.int64()), *((name, pa.string()) for name in texts), ("tokens", pa.int32()), ("completion_tokens", pa.int32())]
        self._schema = pa.schema(columns)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._waiting: list[pa.RecordBatch] = []
        self.rows = 0

    def add(self, records: Sequence[Record], tokens: Iterable[int], completion_tokens: Iterable[int]) -> None:
        """Puts records behind those before them; what fills a row group is written."""
        import pyarrow as pa

        columns = {
            "row": range(self.rows, self.rows + len(records)),
            "prompt": [record.prompt for record in records],
            "response": [record.response for record in records],
            **to_columns(records),
            "tokens": tokens,
            "completion_tokens": completion_tokens,
        }
        batch = pa.record_batch([pa.array(columns[field.name], field.type) for field in self._schema], schema=self._schema)
        self.rows += len(records)
        while batch.num_rows:
            room = GROUP_ROWS - sum(held.num_rows for held in self._waiting)
            self._waiting.append(batch[:room])
            batch = batch[room:]
            if batch.num_rows or len(self._waiting[-1]) == room or sum(held.nbytes for held in self._waiting) >= GROUP_BYTES:
                self._write()

    def _write(self) -> None:
        import pyarrow as pa

        waiting, self._waiting = self._waiting, []
        if waiting:
            group = pa.Table.from_batches(waiting).combine_chunks()  # in one piece, so that pages do not depend on how rows came
            self._writer.write_table(group, row_group_size=group.num_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._write()
        finally:
            self._writer.close()
