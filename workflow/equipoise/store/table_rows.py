"""Some rows of a Parquet file, or a column of texts, without holding the whole: a row group at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

AT_ONCE = 1024
"""Rows of a piece."""


def taken_rows(file: "pq.ParquetFile", columns: Sequence[str], rows: Sequence[int] | np.ndarray) -> Iterator["pa.Table"]:
    """The rows of these numbers, in their order, in pieces of at most `AT_ONCE`. Held at once: those rows and a row group."""
    import pyarrow as pa

    wanted, places = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
    # offsets of 64 bits: those of 32 end at 2 GB
    wide = pa.schema([pa.field(name, _wide(file.schema_arrow.field(name).type)) for name in columns])
    found, first = [wide.empty_table()], 0
    for group in range(file.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        low, high = np.searchsorted(wanted, (first, last))
        if low < high:
            found.append(file.read_row_group(group, columns=list(columns)).select(columns).take(wanted[low:high] - first).cast(wide))
        first = last
    held = pa.concat_tables(found).combine_chunks()
    del found
    for start in range(0, len(places), AT_ONCE):
        yield held.take(places[start : start + AT_ONCE])


def coded_column(path: str | Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of texts that repeat: the number of each row's text, int32 [rows], and the texts in order."""
    import pyarrow.parquet as pq

    codes: list[np.ndarray] = []
    numbers: dict[str, int] = {}
    for batch in pq.ParquetFile(path, read_dictionary=[name]).iter_batches(1 << 16, columns=[name]):
        part = batch.column(0)
        own = np.array([numbers.setdefault(text, len(numbers)) for text in part.dictionary.to_pylist()], np.int32)
        codes.append(own[part.indices.to_numpy()])
    texts = np.array(list(numbers), dtype=object)
    order = np.argsort(texts)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[np.concatenate(codes)], texts[order]


def _wide(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    return pa.large_string() if pa.types.is_string(kind) else kind
