"""Sharded Zarr arrays of a user's: read as they are, but for chunks that a shard does not hold."""

import numpy as np
import pytest
import zarr

from equipoise.attribution.matrix_file import open_matrix
from equipoise.errors import UserError
from equipoise.selection.source import Source

A = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)


def sharded(folder, values, **options):
    """Its values as opened, in shards of two by two chunks; the last ones reach beyond the array."""
    zarr.create_array(str(folder / "m.zarr"), data=values, chunks=(8, 2), shards=(16, 4), **options)
    return open_matrix(folder / "m.zarr").values


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("filters", [(), [zarr.codecs.TransposeCodec(order=(1, 0))]])
def test_whole_shards_are_read_as_they_are(tmp_path, dtype, filters):
    values = sharded(tmp_path, A.astype(dtype), filters=filters)
    assert (values.shape, values.dtype) == ((40, 6), np.dtype(dtype))
    np.testing.assert_array_equal(values[:], A.astype(dtype))
    np.testing.assert_array_equal(values[3:17], A.astype(dtype)[3:17])
    assert Source(values).read(30, 40).shape == (10, 6)


@pytest.mark.parametrize("fill", [0.0, 1.5])
def test_a_chunk_that_was_never_written_is_refused_where_it_is_read(tmp_path, fill):
    values = A.copy()
    values[8:16, 2:4] = fill
    opened = sharded(tmp_path, values, fill_value=fill)
    np.testing.assert_array_equal(opened[16:40], A[16:40])
    with pytest.raises(UserError, match=r"m\.zarr: row 8, column 2 lies in a missing chunk of its shard; write all of them"):
        opened[0:40]
    with pytest.raises(UserError, match="row 9, column 2"):
        opened[9:12]


def test_a_chunk_of_fill_values_that_was_written_counts(tmp_path):
    values = A.copy()
    values[8:16] = 0
    np.testing.assert_array_equal(sharded(tmp_path, values, config={"write_empty_chunks": True})[:], values)


def test_a_number_that_is_none_stays_one(tmp_path):
    values = A.copy()
    values[9, 1] = np.nan
    np.testing.assert_array_equal(sharded(tmp_path, values)[:], values)
