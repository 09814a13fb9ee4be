"""Rows of a Parquet file by row groups: the same as of the whole table."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.store import table_rows
from equipoise.store.table_rows import coded_column, taken_rows

ROWS = 100
SOURCES = [f"source-{(row * 7) % 11}" for row in range(ROWS)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    texts = [None if row % 9 == 0 else f"text {row}" for row in range(ROWS)]
    pq.write_table(pa.table({"row": range(ROWS), "text": texts, "source": SOURCES}), path, row_group_size=17)
    return path


@settings(deadline=None)
@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=60), piece=st.integers(1, 50))
def test_taken_rows_come_in_their_order(path, rows, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_rows, "AT_ONCE", piece)
        pieces = list(taken_rows(pq.ParquetFile(path), ("text", "row"), rows))
    assert all(0 < part.num_rows <= piece for part in pieces)
    found = [line for part in pieces for line in part.to_pylist()]
    whole = pq.read_table(path, columns=["text", "row"]).to_pylist()
    assert found == [whole[row] for row in rows]


def test_a_row_group_without_any_of_the_rows_is_not_read(path, monkeypatch):
    file, read = pq.ParquetFile(path), []
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, group, **how: read.append(group) or file.reader.read_row_group(group)
    )
    list(taken_rows(pq.ParquetFile(path), ("row", "text", "source"), [20, 90]))
    assert read == [1, 5]


def test_texts_that_repeat_are_numbered_in_their_order(path):
    codes, names = coded_column(path, "source")
    assert list(names) == sorted(set(SOURCES))
    assert names[codes].tolist() == SOURCES
    assert codes.dtype == np.int32
