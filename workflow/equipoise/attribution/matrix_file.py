"""Opens a user's matrix: .npy, .zarr, .safetensors, .csv or .parquet, or the folder of a score store that bergson wrote. Nothing of a large
file is read before it is needed, but for .csv and .parquet, which are read whole.

Where a file names its rows or columns, the names are read too: a text column `id` and the other columns' names in .parquet; JSON lists
`ids` and `columns` in the metadata of .safetensors or the attributes of a .zarr array; for a matrix of the workflow, its manifest.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from equipoise.attribution.bergson_scores import BergsonScores
from equipoise.attribution.zarr_matrix import open_zarr_array
from equipoise.errors import UserError, first_line
from equipoise.inputs import read_json, regular_file
from equipoise.progress import log

if TYPE_CHECKING:
    from equipoise.store.artefact import Artefact


@dataclass(frozen=True)
class MatrixFile:
    """An opened matrix: values, N x V, sliceable by rows; valid: bool [N], where a mask lies beside it (a matrix of the workflow).

    ids, columns: names of the N rows and of the V columns, where the file says them.
    """

    values: Any
    valid: np.ndarray | None = None
    ids: list[str] | None = None
    columns: list[str] | None = None


def is_known(path: str | Path) -> bool:
    """Whether a path may be that of a matrix: by its ending, or as a folder, which bergson writes."""
    return Path(path).suffix in READERS or Path(path).is_dir()


def open_matrix(path: str | Path, header: bool | None = None) -> MatrixFile:
    """The matrix in `path`.

    header: whether the first line of a .csv names columns; None: as it looks, and refused where it could be either.
    Raises `UserError` naming the file for a missing, empty or broken one, and for one that does not hold exactly one matrix.
    """
    path = Path(path)
    if not is_known(path):
        raise UserError(f"{path}: no known matrix format; write a path that ends in {', '.join(READERS)}, or a folder of bergson's scores")
    if not path.is_dir() and regular_file(path, "the path of a matrix").stat().st_size == 0:
        raise UserError(f"{path}: is empty; write an N x V matrix into it")
    if header is not None and path.suffix != ".csv":
        raise UserError(f"{path}: --header and --no-header are for .csv; leave them out")
    if path.suffix not in READERS:
        return MatrixFile(BergsonScores(path))
    if (path.suffix == ".zarr") is not path.is_dir():
        kind = "is no folder, as Zarr writes" if path.suffix == ".zarr" else "is a folder"
        raise UserError(f"{path}: {kind}; write the path of a matrix as its ending says")
    return _read_csv(path, header) if path.suffix == ".csv" else READERS[path.suffix](path)


def read_tasks(path: str | Path) -> list[str]:
    """V task names from a JSON list, or from the manifest of a sealed matrix; raises `UserError` for anything else."""
    tasks = read_json(path, "a JSON list of V task names")
    if isinstance(tasks, dict) and tasks.get("kind") == "matrix":
        columns = tasks.get("columns")
        if not isinstance(columns, list) or not all(isinstance(column, dict) and "task" in column for column in columns):
            raise UserError(f"{path}: its columns name no tasks; write the manifest of a sealed matrix as it was made")
        return [column["task"] for column in columns]
    if not isinstance(tasks, list):
        raise UserError(f'{path}: not a list; write a JSON list of V task names such as ["gsm", "gsm", "code"]')
    return tasks


def read_mask(path: str | Path) -> np.ndarray:
    """bool [N] from a .npy file or a JSON list of true and false; raises `UserError` for anything else."""
    if Path(path).suffix == ".npy":
        mask = _array(Path(path))
    else:
        listed = read_json(path, "a JSON list of true and false, or a .npy file of booleans")
        try:
            mask = np.asarray(listed)
        except ValueError:
            raise UserError(f"{path}: a list of lists of other lengths; write one true or false per row") from None
    if mask.dtype != bool:
        raise UserError(f"{path}: holds {mask.dtype}; write one true or false per row, as JSON list or .npy")
    return np.array(mask)


def _read_npy(path: Path) -> MatrixFile:
    return MatrixFile(_array(path))


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(regular_file(path, "the path of a .npy array"), mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, OverflowError, MemoryError, SyntaxError, TokenError, TypeError, BadZipFile) as error:
        raise UserError(f"{path}: not a .npy array of numbers ({first_line(error)}); write it with numpy.save") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: not a .npy array but an archive of arrays; write one with numpy.save")
    return array


def _open_zarr(path: Path) -> MatrixFile:
    if sealed := _sealed(path):
        from equipoise.attribution.matrix_store import open_values, read_valid

        return MatrixFile(open_values(sealed), read_valid(sealed), None, [column["id"] for column in sealed["columns"]])
    array = open_zarr_array(path)
    return MatrixFile(array, None, *_named(path, dict(array.attrs)))


def _named(path: Path, values: dict[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    """Names of rows and columns from attributes or metadata. Raises `UserError` for what is no list of texts."""
    names = []
    for key in ("ids", "columns"):
        held = values.get(key)
        try:
            held = json.loads(held) if isinstance(held, str) else held
        except (ValueError, RecursionError):
            held = 0
        if held is not None and not (isinstance(held, list) and all(isinstance(name, str) for name in held)):
            raise UserError(f"{path}: its {key} are no list of texts; write a JSON list of names, or leave it out")
        names.append(held)
    return names[0], names[1]


class _Tensor:
    """A tensor of a .safetensors file, read by row slices."""

    def __init__(self, view: Any, dtype: np.dtype):
        self._view, self.shape, self.dtype = view, tuple(view.get_shape()), dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._view[rows]


def _open_safetensors(path: Path) -> MatrixFile:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(str(path), framework="numpy")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a .safetensors file ({first_line(error)})") from None
    views = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
    matrices = {name: view for name, view in views.items() if len(view.get_shape()) == 2}
    if len(matrices) != 1:
        held = ", ".join(views) or "none"
        raise UserError(f"{path}: must hold exactly one two-dimensional tensor, found {held}; write the matrix alone")
    name, view = matrices.popitem()
    dtypes = {"F16": "float16", "F32": "float32", "F64": "float64"}
    if view.get_dtype() not in dtypes:
        raise UserError(f"{path}: tensor {name} is {view.get_dtype()}; write F16, F32 or F64")
    return MatrixFile(_Tensor(view, np.dtype(dtypes[view.get_dtype()])), None, *_named(path, file.metadata() or {}))


def _read_csv(path: Path, header: bool | None = None) -> MatrixFile:
    import pyarrow as pa
    from pyarrow import csv

    try:
        with path.open(encoding="utf-8") as file:
            first, second = (file.readline().strip().split(",") for _ in range(2))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; write V numbers per line, saved as UTF-8") from None
    if first == [""]:
        raise UserError(f"{path}: its first line is blank; write V numbers per line")
    if header is None:
        header = _is_header(first, second, path)
        log(f"{path}: the first line is {'the header' if header else 'row 0'}; --header or --no-header decides otherwise")
    names = [f"column {number}" for number in range(len(first))]
    read = csv.ReadOptions(column_names=names, skip_rows=int(header))
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()), strings_can_be_null=False)
    try:
        table = csv.read_csv(path, read_options=read, convert_options=convert)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: not a table of numbers ({first_line(error)}); write V numbers per line, no index column") from None
    return MatrixFile(_to_array(table, path))


def _is_header(first: list[str], second: list[str], path: Path) -> bool:
    """Whether a first line names columns: all its cells are texts and the second line's are numbers. It is data where all are numbers.

    Raises `UserError` for a mixture, whose row would be lost unseen, and for the numbers 0, 1, 2, ..., which data frames write as names.
    """
    numbers = [_number(cell) for cell in first]
    if None not in numbers and (len(first) == 1 or numbers != list(range(len(first)))):
        return False
    if set(numbers) == {None} and None not in map(_number, second):
        return True
    raise UserError(f"{path}: the first line may be a header or row 0 ({','.join(first)[:60]!r}); write --header or --no-header")


def _number(cell: str) -> float | None:
    try:
        return float(cell.strip('"'))
    except ValueError:
        return None


def _read_parquet(path: Path) -> MatrixFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: not a Parquet file ({first_line(error)}); write it with pyarrow or pandas") from None
    if twice := [name for name, count in Counter(table.schema.names).items() if count > 1]:
        raise UserError(f"{path}: the column {twice[0]} stands twice; give every column a name of its own")
    ids = None
    if "id" in table.schema.names and not pa.types.is_floating(table.schema.field("id").type):
        ids = [str(name) for name in table["id"].to_pylist()]
        table = table.drop_columns("id")
    for field in table.schema:
        if not pa.types.is_floating(field.type):
            raise UserError(f"{path}: column {field.name} is {field.type}; write float columns only, one per validation example, and id")
    return MatrixFile(_to_array(table, path), None, ids, _own_names(table.schema.names))


def _own_names(names: list[str]) -> list[str] | None:
    """Names of a table's columns; none where they are but numbers in a row, which data frames write by themselves."""
    numbered = [re.fullmatch(r"(\D*)(\d+)", name) for name in names]
    if all(numbered) and len({found[1] for found in numbered}) == 1:
        numbers = [int(found[2]) for found in numbered]
        if numbers == list(range(numbers[0], numbers[0] + len(names))):
            return None
    return names


def _to_array(table: Any, path: Path) -> np.ndarray:
    if 0 in table.shape:
        raise UserError(f"{path}: holds no {'row' if table.num_columns else 'column'}; write an N x V matrix into it")
    wide = any(str(kind) == "double" for kind in table.schema.types)
    matrix = np.empty(table.shape, np.float64 if wide else np.float32)
    for column, values in enumerate(table.columns):
        matrix[:, column] = values.to_numpy()  # a null becomes NaN, which the selector refuses by row and column
    return matrix


def _sealed(path: Path) -> "Artefact | None":
    """The manifest of a matrix of the workflow, which lies beside it; a user's own has none."""
    manifest = path.parent / "manifest.json"
    if path.name != "matrix.zarr" or not (path.parent / "valid.zarr").exists():
        return None
    from equipoise.store.artefact import open_alone

    return open_alone(manifest, "matrix")


READERS: dict[str, Callable[[Path], MatrixFile]] = {
    ".npy": _read_npy,
    ".zarr": _open_zarr,
    ".safetensors": _open_safetensors,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
