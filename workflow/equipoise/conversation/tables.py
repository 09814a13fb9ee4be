"""Rows of tables: Parquet, Arrow, and folders that `datasets` saved. Readers yield (row from 1, value, no problem), a batch in memory."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from equipoise.conversation.strict_json import loads
from equipoise.errors import UserError
from equipoise.inputs import read_text, regular_file

BATCH_ROWS = 1024
READ_AT_ONCE = 1 << 20  # bytes of a column: without it all that a row group has of it


def parquet_rows(path: Path) -> Iterator[tuple[int, Any, None]]:
    """Rows of a Parquet file."""
    import pyarrow.parquet as pq

    return table_rows(pq.ParquetFile(path, buffer_size=READ_AT_ONCE).iter_batches(BATCH_ROWS))


def arrow_rows(path: Path) -> Iterator[tuple[int, Any, None]]:
    """Rows of an Arrow file, of either of its formats."""
    return table_rows(_batches([path]))


def saved_rows(folder: Path) -> Iterator[tuple[int, Any, None]]:
    """Rows of a folder written by `Dataset.save_to_disk`."""
    state, wanted = folder / "state.json", "a folder as save_to_disk leaves it"
    try:
        names = [Path(entry["filename"]).name for entry in loads(read_text(state, wanted))["_data_files"]]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{state}: does not name its files; write {wanted}") from None
    return table_rows(_batches([regular_file(folder / name, wanted) for name in names]))


def table_rows(batches: Iterable[Any]) -> Iterator[tuple[int, Any, None]]:
    """Rows of Arrow batches or tables as JSON has them."""
    number = 0
    for batch in batches:
        names = batch.schema.names
        if len(set(names)) < len(names):
            raise ValueError(f"columns of one name: {', '.join(names)[:200]}")
        for row in batch.to_pylist():
            number += 1
            yield number, {name: _plain(value, 0) for name, value in row.items()}, None


def _batches(paths: list[Path]) -> Iterator[Any]:
    import pyarrow as pa

    for path in paths:
        with pa.memory_map(str(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            if is_file:
                reader = pa.ipc.open_file(file)
                yield from map(reader.get_batch, range(reader.num_record_batches))
            else:
                yield from pa.ipc.open_stream(file)


def _plain(value: Any, depth: int) -> Any:
    """A value as JSON has it; NaN, pandas' missing number, is null. Arrow gives every struct the keys of all, filled with null: below a
    turn's own (depth 1) these are left out, as they would stand among the arguments of tool calls."""
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items() if item is not None or depth == 0}
    if isinstance(value, list):
        return [_plain(item, depth) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
