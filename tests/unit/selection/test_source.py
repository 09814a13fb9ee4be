"""Reading a matrix by blocks, and rows of lists out of one reading; matrices that are made when they are read."""

import numpy as np
import pytest

from equipoise.selection import select, source
from equipoise.selection.source import Source
from helpers.virtual_matrix import CHUNK, VirtualMatrix

VALUES = np.random.default_rng(0).standard_normal((3500, 5)).astype(np.float32)


class Counted:
    """A matrix that counts the rows that are read of it."""

    shape, dtype, chunks = VALUES.shape, VALUES.dtype, (1024, 5)

    def __init__(self):
        self.rows = 0

    def __getitem__(self, rows):
        self.rows += len(VALUES[rows])
        return VALUES[rows]


def test_parts_are_the_rows_of_every_list_from_one_reading(monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1)
    matrix, rng = Counted(), np.random.default_rng(1)
    lists = [rng.permutation(3500)[:900], np.array([3499, 0, 7]), np.array([], np.int64), np.arange(1024, 2048)]
    found = [np.full((len(rows), 5), np.nan) for rows in lists]
    for part in Source(matrix).parts(*lists):
        assert len(part.places)
        assert (np.diff(part.places) > 0).all()
        found[part.of][part.places] = part.values
    for rows, values in zip(lists, found, strict=True):
        np.testing.assert_array_equal(values, VALUES[rows])
    assert matrix.rows == 3500


def test_parts_of_a_matrix_of_one_block_come_in_the_order_of_the_list():
    rows = np.random.default_rng(2).permutation(3500)[:50]
    (part,) = Source(VALUES).parts(rows)
    np.testing.assert_array_equal(part.places, np.arange(50))
    np.testing.assert_array_equal(part.values, VALUES[rows])


def test_rows_made_on_reading_are_the_same_however_they_are_read():
    whole = VirtualMatrix(3 * CHUNK + 10, 7, seed=3)[:]
    matrix = VirtualMatrix(3 * CHUNK + 10, 7, seed=3)
    for start, stop in ((0, 1), (5, 1030), (2048, 2049), (3 * CHUNK, 3 * CHUNK + 10), (1000, 3082)):
        np.testing.assert_array_equal(matrix[start:stop], whole[start:stop])
    assert matrix.read_rows == sum((1, 1025, 1, 10, 2082))
    assert matrix.largest == 2082
    assert len(np.unique(whole[:, 0])) > 0.99 * len(whole)
    assert np.abs(whole.mean(axis=0)).max() < 0.1
    with pytest.raises(IndexError):
        matrix[::2]


@pytest.mark.parametrize("selector", ["bids", "round_robin", "sum", "task_max"])
def test_selectors_choose_from_rows_made_on_reading_as_from_those_in_memory(selector):
    tasks = ["a", "a", "b", "b", "b"]
    matrix = VirtualMatrix(5000, 5)
    made, held = select(matrix, tasks, selector, 100), select(VirtualMatrix(5000, 5)[:], tasks, selector, 100)
    np.testing.assert_array_equal(made.rows, held.rows)
    np.testing.assert_array_equal(made.scores, held.scores)
