"""The user's own scores as the influence matrix (estimator `matrix`): held to pool and validation examples, then taken over row by row.

Values are rounded to float32. A row is flagged where the pool's has no completion token, where a mask beside the matrix says so, and where
it is all NaN; another number that is not finite is refused.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from equipoise.attribution.matrix_file import MatrixFile, open_matrix
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.layout import CHUNK_ROWS
from equipoise.store.artefact import open_artefact

KEY = "gradients.matrix.file"
DTYPES = ("float16", "float32", "float64")


class OwnScores:
    """The user's file, of as many rows and columns as there are pool rows and validation examples, in their order."""

    def __init__(self, config: Experiment, columns: Sequence[dict[str, str]]):
        """columns: {task, id} of every validation example. Raises `UserError` naming the key and what does not fit."""
        import pyarrow.parquet as pq

        pool = open_artefact(config, "pool")
        self._usable = pq.read_table(pool.only_file(), columns=["completion_tokens"])["completion_tokens"].to_numpy() > 0
        self._path = config.gradients.matrix.file
        self._file = open_matrix(self._path)
        ids = None if self._file.ids is None else pq.read_table(pool.only_file(), columns=["id"])["id"].to_pylist()
        refuse_unfit(self._path, self._file, ids, columns, len(self._usable))

    def chunks(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(first row, rows float32 [n, V], valid bool [n]) chunk by chunk, as `assemble_chunks`."""
        for at in range(start, stop, CHUNK_ROWS):
            end = min(at + CHUNK_ROWS, stop)
            with np.errstate(over="ignore"):
                values = np.array(self._file.values[at:end], np.float32)
            valid = self._usable[at:end] & ~np.isnan(values).all(axis=1)
            if self._file.valid is not None:
                valid &= self._file.valid[at:end]
            bad = ~np.isfinite(values) & valid[:, None]
            if bad.any():
                row, column = np.argwhere(bad)[0]
                raise UserError(f"{KEY}: {self._path}: row {at + row}, column {column} is {values[row, column]}; write finite numbers")
            values[~valid] = np.nan
            yield at, values, valid


def refuse_unfit(
    path: str, file: MatrixFile, ids: Sequence[str] | None, columns: Sequence[dict[str, str]], rows: int | None = None
) -> None:
    """Raises `UserError` where a matrix has other rows or columns than these, by count, and by name where the file has names.

    ids: of the pool's rows; rows: how many, where their ids are not known.
    """
    shape, wanted = tuple(file.values.shape), len(ids) if ids is not None else rows
    if len(shape) != 2 or np.dtype(file.values.dtype).name not in DTYPES:
        raise UserError(f"{KEY}: {path} holds {file.values.dtype} of shape {shape}; write a matrix of {', '.join(DTYPES)}")
    if wanted is not None and shape[0] != wanted:
        raise UserError(f"{KEY}: {path} has {shape[0]:,} rows, the pool {wanted:,}; write a row for every row of the pool, in its order")
    if shape[1] != len(columns):
        raise UserError(f"{KEY}: {path} has {shape[1]} columns, and there are {len(columns)} validation examples; write one column each")
    if file.ids is not None and ids is not None:
        _refuse_other_names(path, "row", file.ids, [{name} for name in ids], "the pool's")
    if file.columns is not None:
        known = [{column["id"], f"{column['task']}/{column['id']}"} for column in columns]
        _refuse_other_names(path, "column", file.columns, known, "that of the validation example there")


def _refuse_other_names(path: str, what: str, held: Sequence[str], known: Sequence[set[str]], whose: str) -> None:
    for number, (name, names) in enumerate(zip(held, known, strict=True)):
        if name not in names:
            raise UserError(
                f"{KEY}: {path}: {what} {number} is called {name!r}, {whose} {min(names, key=len)!r}; write the {what}s in that order, "
                "or leave their names out"
            )
