"""Matrices of `equipoise select`: .npy, .zarr, .safetensors, .csv, .parquet."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from safetensors.numpy import save_file

from helpers.bad_inputs.case import Case, Make, both, cut, edited, folder_as, gzipped, not_a_file, pipe_as, raw, text

A = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
HUGE = 6_000_000_000


def select(file: str) -> str:
    """The command that reads a matrix."""
    return f"select {file} --tasks tasks.json --output picks-out.jsonl"


NPY, ZARR, SAFE, CSV, TABLE = map(select, ("m.npy", "m.zarr", "m.safetensors", "m.csv", "m.parquet"))


def at(row: int, column: int, value: float) -> np.ndarray:
    """The matrix with one number replaced."""
    matrix = A.copy()
    matrix[row, column] = value
    return matrix


def array(matrix: np.ndarray, **options: object) -> Make:
    """A .npy file of a matrix."""
    return lambda folder: np.save(folder / "m.npy", matrix, **options)


def claiming(shape: str, version: bytes = b"\x01\x00") -> Make:
    """A .npy file whose header claims a shape over 160 numbers."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return raw("m.npy", b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + A.tobytes())


def stored(*changes: Make, chunks: tuple[int, int] = (16, 4), **options: object) -> Make:
    """A .zarr of the matrix, and then what is done to it."""
    return both(lambda folder: zarr.create_array(str(folder / "m.zarr"), data=A, chunks=chunks, **options), *changes)


def unwritten(folder: Path) -> None:
    """A .zarr whose first shard lacks its second chunk: zarr leaves out what equals the fill value."""
    zarr.create_array(str(folder / "m.zarr"), data=np.where(np.arange(40)[:, None] // 8 == 1, 0, A), chunks=(8, 4), shards=(16, 4))


def without(name: str) -> Make:
    """A file taken away."""
    return lambda folder: (folder / name).unlink()


def group(**arrays: np.ndarray) -> Make:
    """A Zarr group of arrays."""

    def make(folder: Path) -> None:
        root = zarr.create_group(str(folder / "m.zarr"))
        for name, values in arrays.items():
            root.create_array(name, data=values)

    return make


def second_format(folder: Path) -> None:
    """A .zarr of version 2 whose metadata is broken."""
    zarr.create_array(str(folder / "m.zarr"), data=A, chunks=(16, 4), zarr_format=2)
    (folder / "m.zarr" / ".zarray").write_text("{")


def tensors(**named: np.ndarray) -> Make:
    """A .safetensors file."""
    return lambda folder: save_file(named, folder / "m.safetensors")


def table(*columns: pa.Array | list, names: list[str]) -> Make:
    """A .parquet file."""
    return lambda folder: pq.write_table(pa.Table.from_arrays([pa.array(each) for each in columns], names), folder / "m.parquet")


META = "m.zarr/zarr.json"
LONG = json.dumps({"x": [HUGE, 4]}).encode()
NPY_CASES = [
    *not_a_file("m.npy", NPY),
    Case("npy: nan", array(at(7, 3, np.nan)), NPY, ("m.npy: row 7, column 3 is nan",)),
    Case("npy: infinity", array(at(9, 0, -np.inf)), NPY, ("m.npy: row 9, column 0 is -inf",)),
    Case("npy: empty", raw("m.npy", b""), NPY, ("m.npy: is empty",)),
    Case("npy: text", text("m.npy", "hello, this is no array"), NPY, ("m.npy: not a .npy array",)),
    Case("npy: objects", array(np.array([[{}]]), allow_pickle=True), NPY, ("m.npy: not a .npy array",)),
    Case("npy: texts", array(np.array([["a"]])), NPY, ("dtype <U1",)),
    Case("npy: records", array(np.zeros((4, 4), [("a", "f4")])), NPY, ("m.npy: dtype",)),
    Case("npy: integers", array(np.ones((4, 4), np.int64)), NPY, ("dtype int64; write float16, float32 or float64",)),
    Case("npy: complex", array(np.ones((4, 4), complex)), NPY, ("dtype complex128",)),
    Case("npy: one number", array(np.float32(1)), NPY, ("shape ()",)),
    Case("npy: one dimension", array(np.ones(4)), NPY, ("shape (4,); write an N x V matrix",)),
    Case("npy: no rows", array(np.ones((0, 4), "f4")), NPY, ("shape (0, 4)",)),
    Case("npy: one row", array(A[:1]), f"{NPY} --budget 1", ("1 valid row has no standard deviation",)),
    Case("npy: all constant", array(np.ones((9, 4), "f4")), f"{NPY} --budget 1", ("every column is constant",)),
    Case("npy: cut", cut("m.npy", 300), NPY, ("m.npy: not a .npy array",)),
    Case("npy: cut in its header", cut("m.npy", 50), NPY, ("m.npy: not a .npy array",)),
    Case("npy: gzip", gzipped("m.npy"), NPY, ("m.npy: not a .npy array",)),
    Case("npy: claims 6e9 rows", claiming(f"({HUGE}, 4)"), NPY, ("m.npy: not a .npy array",)),
    Case("npy: claims 10^30 rows", claiming(f"({10**30}, 4)"), NPY, ("m.npy: not a .npy array",)),
    Case("npy: claims -1 rows", claiming("(-1, 4)"), NPY, ("m.npy",)),
    Case("npy: a shape of words", claiming("('a', 4)"), NPY, ("m.npy: not a .npy array",)),
    Case("npy: of version 9", claiming("(40, 4)", b"\x09\x00"), NPY, ("m.npy: not a .npy array",)),
    Case("npy: a zip", lambda folder: np.savez(folder / "m.npz", A) or (folder / "m.npz").rename(folder / "m.npy"), NPY, ("m.npy",)),
    Case("matrix: no known kind", text("m.txt", "1 2"), select("m.txt"), ("m.txt: no known matrix format", ".npy, .zarr")),
    Case("matrix: a very long name", None, select("x" * 300 + ".npy"), ("xxx.npy", "File name too long")),
    Case("matrix: below a file", None, select("tasks.json/m.npy"), ("tasks.json/m.npy", "no such file")),
]
ZARR_CASES = [
    Case("zarr: a file", text("m.zarr", "no folder"), ZARR, ("m.zarr",)),
    Case("zarr: a pipe", pipe_as("m.zarr"), ZARR, ("m.zarr",)),
    Case("zarr: an empty folder", folder_as("m.zarr"), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: a foreign folder", raw("m.zarr/notes.txt", b"mine"), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata cut", stored(cut(META, 100)), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata empty", stored(cut(META, 0)), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata binary", stored(raw(META, bytes(range(256)))), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata a list", stored(raw(META, b"[]")), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata a number", stored(raw(META, b"3")), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata nested deeply", stored(raw(META, b"[" * 100_000)), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: metadata a folder", stored(folder_as(META)), ZARR, ("m.zarr",)),
    Case("zarr: metadata a pipe", stored(pipe_as(META)), ZARR, ("m.zarr", "not a regular file")),
    Case("zarr: no shape", stored(edited(META, shape=None)), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: a shape of words", stored(edited(META, shape=["a", "b"])), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: a shape of null", stored(edited(META, shape=[None, 4])), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: -40 rows", stored(edited(META, shape=[-40, 4])), ZARR, ("m.zarr",)),
    Case("zarr: of an unknown kind", stored(edited(META, node_type="tensor")), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: of version 9", stored(edited(META, zarr_format=9)), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: unknown numbers", stored(edited(META, data_type="float12")), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: other numbers than stored", stored(edited(META, data_type="float64")), ZARR, ("m.zarr",)),
    Case("zarr: codecs of words", stored(edited(META, codecs="none")), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: an unknown codec", stored(edited(META, codecs=[{"name": "mine"}])), ZARR, ("m.zarr",)),
    Case("zarr: a fill value of words", stored(edited(META, fill_value="much")), ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: no chunks", stored(edited(META, chunk_grid={"name": "regular"})), ZARR, ("m.zarr: no Zarr array",)),
    Case(
        "zarr: chunks of nothing",
        stored(edited(META, chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0, 0]}})),
        ZARR,
        ("m.zarr",),
    ),
    Case("zarr: claims 6e9 rows", stored(edited(META, shape=[HUGE, 4])), ZARR, ("m.zarr", "missing")),
    Case("zarr: claims 10^30 rows", stored(edited(META, shape=[10**30, 4])), ZARR, ("m.zarr",)),
    Case("zarr: claims a million columns", stored(edited(META, shape=[40, 10**6])), ZARR, ("m.zarr",)),
    Case("zarr: a missing chunk", stored(without("m.zarr/c/1/0")), ZARR, ("m.zarr", "c/1/0", "missing")),
    Case("zarr: a missing chunk of version 2", both(stored(zarr_format=2), without("m.zarr/1.0")), ZARR, ("m.zarr", "1.0", "missing")),
    Case("zarr: a missing shard", stored(without("m.zarr/c/1/0"), chunks=(8, 4), shards=(16, 4)), ZARR, ("m.zarr", "c/1/0", "missing")),
    Case("zarr: a missing chunk within a shard", unwritten, ZARR, ("m.zarr: row 8, column 0", "a missing chunk of its shard")),
    Case("zarr: a cut chunk", stored(cut("m.zarr/c/1/0", 20)), ZARR, ("m.zarr", "rows")),
    Case("zarr: a foreign chunk", stored(raw("m.zarr/c/1/0", b"mine" * 9)), ZARR, ("m.zarr", "rows")),
    Case("zarr: a chunk that is a folder", stored(folder_as("m.zarr/c/1/0")), ZARR, ("m.zarr", "c/1/0")),
    Case("zarr: a chunk that is a pipe", stored(pipe_as("m.zarr/c/1/0")), ZARR, ("m.zarr", "c/1/0", "not a regular file")),
    Case("zarr: version 2 with broken metadata", second_format, ZARR, ("m.zarr: no Zarr array",)),
    Case("zarr: a group of none", group(), ZARR, ("exactly one two-dimensional array, found none",)),
    Case("zarr: a group of two", group(a=A, b=A), ZARR, ("exactly one two-dimensional array, found",)),
    Case("zarr: a group with a broken array", both(group(a=A), raw("m.zarr/a/zarr.json", b"{")), ZARR, ("m.zarr",)),
    Case("zarr: names that are none", stored(attributes={"ids": [1, 2]}), ZARR, ("m.zarr: its ids are no list of texts",)),
    Case("zarr: one dimension", lambda folder: zarr.create_array(str(folder / "m.zarr"), data=A[:, 0]), ZARR, ("shape (40,)",)),
    Case(
        "zarr: a pretended matrix of the workflow",
        lambda folder: [zarr.create_array(str(folder / "x" / name), data=A) for name in ("matrix.zarr", "valid.zarr")],
        select("x/matrix.zarr"),
        ("x/manifest.json: missing",),
    ),
]
SAFE_CASES = [
    Case("safetensors: text", text("m.safetensors", "hello, no tensors"), SAFE, ("m.safetensors: not a .safetensors file",)),
    Case("safetensors: cut", both(tensors(a=A), cut("m.safetensors", 200)), SAFE, ("m.safetensors: not a .safetensors file",)),
    Case("safetensors: a header of 10^18 bytes", raw("m.safetensors", struct.pack("<Q", 10**18) + b"{}"), SAFE, ("m.safetensors",)),
    Case("safetensors: a header that is none", raw("m.safetensors", struct.pack("<Q", len(LONG)) + LONG), SAFE, ("m.safetensors",)),
    Case("safetensors: gzip", both(tensors(a=A), gzipped("m.safetensors")), SAFE, ("m.safetensors: not a .safetensors file",)),
    Case("safetensors: a folder", folder_as("m.safetensors"), SAFE, ("m.safetensors",)),
    Case("safetensors: a pipe", pipe_as("m.safetensors"), SAFE, ("m.safetensors", "not a regular file")),
    Case("safetensors: two", tensors(a=A, b=A), SAFE, ("exactly one two-dimensional tensor, found a, b",)),
    Case("safetensors: integers", tensors(a=A.astype(np.int32)), SAFE, ("tensor a is I32",)),
    Case(
        "safetensors: names that are none",
        lambda folder: save_file({"a": A}, folder / "m.safetensors", {"columns": "[[[" * 9000}),
        SAFE,
        ("m.safetensors: its columns are no list of texts",),
    ),
]
CSV_CASES = [
    Case("csv: binary", raw("m.csv", bytes(range(256)) * 4), CSV, ("m.csv",)),
    Case("csv: gzip", both(text("m.csv", "1,2,3,4\n"), gzipped("m.csv")), CSV, ("m.csv",)),
    Case("csv: UTF-16", raw("m.csv", "1,2,3,4\n5,6,7,8\n".encode("utf-16")), CSV, ("m.csv", "UTF-8")),
    Case("csv: Latin-1 names", raw("m.csv", b"\xe9,b,c,d\n5,6,7,8\n1,2,3,4\n"), CSV, ("m.csv", "UTF-8")),
    Case("csv: a folder", folder_as("m.csv"), CSV, ("m.csv",)),
    Case("csv: a pipe", pipe_as("m.csv"), CSV, ("m.csv", "not a regular file")),
    Case("csv: a word", text("m.csv", "1,2,3,4\n1,x,3,4\n"), CSV, ("m.csv: not a table of numbers",)),
    Case("csv: an empty cell", text("m.csv", "1,2,3,4\n1,,3,4\n"), f"{CSV} --budget 1", ("m.csv: row 1, column 1 is nan",)),
    Case("csv: ragged", text("m.csv", "1,2,3,4\n1,2,3\n"), CSV, ("m.csv: not a table of numbers",)),
    Case("csv: NaN", text("m.csv", "1,2,3,4\n1,nan,3,4\n"), f"{CSV} --budget 1", ("m.csv: row 1, column 1 is nan",)),
    Case("csv: blank lines alone", text("m.csv", "\n\n\n"), CSV, ("m.csv",)),
    Case("csv: a header alone", text("m.csv", "a,b,c,d\n"), CSV, ("m.csv",)),
    Case("csv: a header that may be a row", text("m.csv", "1,x,3,4\n3,4,5,6\n"), CSV, ("--header or --no-header",)),
    Case("csv: numbers that may be names", text("m.csv", "0,1,2,3\n3,4,5,6\n"), CSV, ("--header or --no-header",)),
    Case("csv: two lines of words", text("m.csv", "a,b,c,d\ne,f,g,h\n1,2,3,4\n"), CSV, ("--header or --no-header",)),
    Case("csv: words that are no header", text("m.csv", "a,b,c,d\n1,2,3,4\n"), f"{CSV} --no-header", ("not a table of numbers",)),
    Case("csv: one very long line", text("m.csv", "1," * 500_000), CSV, ("m.csv",)),
    Case("csv: an open quote", text("m.csv", '1,2,3,4\n"1,2,3,4\n'), CSV, ("m.csv: not a table of numbers",)),
    Case("csv: a header asked of a .npy", None, f"{NPY} --header", ("m.npy: --header and --no-header are for .csv",)),
]
TABLE_CASES = [
    Case("parquet: text", text("m.parquet", "hello"), TABLE, ("m.parquet: not a Parquet file",)),
    Case("parquet: cut", both(table([1.0], names=["a"]), cut("m.parquet", 100)), TABLE, ("m.parquet: not a Parquet file",)),
    Case("parquet: gzip", both(table([1.0], names=["a"]), gzipped("m.parquet")), TABLE, ("m.parquet: not a Parquet file",)),
    Case("parquet: a folder", folder_as("m.parquet"), TABLE, ("m.parquet",)),
    Case("parquet: a pipe", pipe_as("m.parquet"), TABLE, ("m.parquet", "not a regular file")),
    Case("parquet: words", table(["x"], [1.0], names=["name", "v"]), TABLE, ("column name is string",)),
    Case("parquet: lists", table([[1.0]], [1.0], names=["a", "b"]), TABLE, ("column a is list",)),
    Case("parquet: two columns of one name", table(*[[1.0, 2.0]] * 4, names=["a", "b", "a", "c"]), TABLE, ("m.parquet", "a", "twice")),
    Case("parquet: two ids", table(["x"], ["y"], [1.0], names=["id", "id", "v"]), TABLE, ("m.parquet", "id", "twice")),
    Case("parquet: no rows", table(pa.array([], "f4"), names=["a"]), TABLE, ("m.parquet: holds no row",)),
    Case("parquet: ids alone", table(["x"], names=["id"]), TABLE, ("m.parquet: holds no column",)),
    Case("parquet: nulls", table(*[[1.0, None]] * 4, names=list("abcd")), f"{TABLE} --budget 1", ("m.parquet: row 1, column 0 is nan",)),
    Case(
        "parquet: a folder of foreign files",
        lambda folder: shutil.copytree(folder / "base", folder / "m.parquet"),
        TABLE,
        ("m.parquet",),
    ),
]
CASES = [*NPY_CASES, *ZARR_CASES, *SAFE_CASES, *CSV_CASES, *TABLE_CASES]
