"""`equipoise.selection.select` and the command `equipoise select`: what they accept, what they write, and every mistake in one line."""

import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from safetensors.numpy import save_file

from equipoise.errors import UserError
from equipoise.selection import select
from equipoise.selectors import SELECTORS, selector, selector_names
from helpers.commands import equipoise

RNG = np.random.default_rng(0)
A = RNG.standard_normal((200, 6)).astype(np.float32)
TASKS = ["gsm", "gsm", "code", "code", "code", "chat"]


@pytest.fixture
def tasks(tmp_path):
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS))
    return str(tmp_path / "tasks.json")


def write(path, matrix):
    match path.suffix:
        case ".npy":
            np.save(path, matrix)
        case ".zarr":
            zarr.create_array(str(path), data=matrix, chunks=(64, matrix.shape[1]))
        case ".safetensors":
            save_file({"influence": matrix}, path)
        case ".csv":
            np.savetxt(path, matrix, delimiter=",", fmt="%.17g")
        case ".parquet":
            pq.write_table(pa.table({f"v{j}": matrix[:, j] for j in range(matrix.shape[1])}), path)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".safetensors", ".csv", ".parquet"])
def test_every_file_format_gives_the_selection_of_the_array(tmp_path, tasks, suffix):
    matrix = write(tmp_path / f"m{suffix}", A)
    output = tmp_path / "picks.jsonl"
    done = equipoise("select", matrix, "--tasks", tasks, "--selector", "bids", "--budget", "0.1", "--seed", "0", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "reading" in done.stderr
    picks = [json.loads(line) for line in output.read_text().splitlines()]
    expected = select(A, TASKS, budget=0.1)
    assert [pick["row"] for pick in picks] == expected.rows.tolist()
    assert [pick["score"] for pick in picks] == expected.scores.tolist()
    assert [list(pick) for pick in picks] == [["rank", "row", "score", "column", "task"]] * 20
    assert [pick["rank"] for pick in picks] == list(range(20))
    assert all(pick["task"] == TASKS[pick["column"]] for pick in picks)


def test_a_csv_with_names_reads_like_one_without(tmp_path, tasks):
    write(tmp_path / "m.csv", A)
    plain = (tmp_path / "m.csv").read_text()
    for name, header, decided in (("named.csv", "a,b,c,d,e,f", ()), ("numbered.csv", "0,1,2,3,4,5", ("--header",))):
        (tmp_path / name).write_text(f"{header}\n{plain}")
        assert equipoise("select", tmp_path / name, "--tasks", tasks, "--output", tmp_path / "o", *decided).returncode == 0
        assert len((tmp_path / "o").read_text().splitlines()) == 20


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        ("a,b\n1,2\n3,4\n", None, 2),
        ('"a","b"\n1,2\n', None, 1),
        ("1,2\n3,4\n", None, 2),
        ("nan,2\n3,4\n", None, 2),
        ("0,1\n3,4\n", True, 1),
        ("0,1\n3,4\n", False, 2),
        ("0,1\n3,4\n", None, "--header or --no-header"),
        ("1,x\n3,4\n", None, "--header or --no-header"),
        ("a,b\nc,d\n1,2\n", None, "--header or --no-header"),
        ("a,b\nc,2\n1,2\n", None, "--header or --no-header"),
        ("a,b\n1,2\n", False, "not a table of numbers"),
    ],
)
def test_no_row_of_a_csv_is_lost_as_a_header(tmp_path, text, header, rows):
    from equipoise.attribution.matrix_file import open_matrix

    (tmp_path / "m.csv").write_text(text)
    if isinstance(rows, str):
        with pytest.raises(UserError, match=rows):
            open_matrix(tmp_path / "m.csv", header)
    else:
        assert len(open_matrix(tmp_path / "m.csv", header).values) == rows


def test_the_valid_file_restricts_the_choice(tmp_path, tasks):
    matrix = A.copy()
    mask = RNG.random(200) < 0.5
    matrix[~mask] = np.nan
    write(tmp_path / "m.npy", matrix)
    np.save(tmp_path / "valid.npy", mask)
    (tmp_path / "valid.json").write_text(json.dumps(mask.tolist()))
    expected = select(matrix, TASKS, budget=10, valid=mask).rows.tolist()
    for name in ("valid.npy", "valid.json"):
        done = equipoise(
            "select", tmp_path / "m.npy", "--tasks", tasks, "--budget", "10", "--valid", tmp_path / name, "--output", tmp_path / "o"
        )
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["row"] for line in (tmp_path / "o").read_text().splitlines()] == expected
    assert mask[expected].all()


def test_a_constant_column_is_left_out_with_a_warning_that_names_it(tmp_path, tasks):
    matrix = A.copy()
    matrix[:, 2] = 0.25
    with pytest.warns(UserWarning, match=r"column 2 \(task code\) is constant"):
        assert 2 not in select(matrix, TASKS, budget=1.0).columns
    write(tmp_path / "m.npy", matrix)
    done = equipoise("select", tmp_path / "m.npy", "--tasks", tasks, "--output", tmp_path / "o")
    assert "warning: column 2 (task code) is constant" in done.stderr


def nan_at(row, column, value):
    matrix = A.copy()
    matrix[row, column] = value
    return matrix


def save(name, matrix):
    return lambda folder: np.save(folder / name, matrix)


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


MISTAKES = {
    "nan": (save("m.npy", nan_at(7, 3, np.nan)), [], r"m.npy: row 7, column 3 is nan"),
    "infinity": (save("m.npy", nan_at(9, 0, -np.inf)), [], r"m.npy: row 9, column 0 is -inf"),
    "tasks too few": (text("tasks.json", '["gsm"]'), [], "tasks: 1 names for 6 columns"),
    "task name missing": (text("tasks.json", '["a", "b", null, "d", "e", "f"]'), [], "the name of column 2 is None"),
    "tasks no list": (text("tasks.json", '{"a": 1}'), [], "tasks.json: not a list"),
    "tasks no json": (text("tasks.json", "gsm, code"), [], "tasks.json: not JSON"),
    "tasks absent": (lambda folder: (folder / "tasks.json").unlink(), [], "tasks.json: no such file"),
    "budget 0": (None, ["--budget", "0"], "budget 0 selects nothing"),
    "budget above N": (None, ["--budget", "201"], "more than the 200 valid rows"),
    "budget above 1": (None, ["--budget", "1.5"], "not a share"),
    "budget no number": (None, ["--budget", "much"], "'much' is not a number"),
    "selector": (None, ["--selector", "bidz"], "no selector 'bidz'; write one of random,"),
    "oracle": (None, ["--selector", "oracle"], "selector oracle: reads metadata of a pool"),
    "normalisation": (None, ["--normalisation", "log"], "write one of zscore, rank"),
    "negative seed": (None, ["--selector", "random", "--seed", "-1"], "seed -1"),
    "empty file": (text("m.npy", ""), [], "m.npy: is empty"),
    "no npy": (text("m.npy", "hello, this is no array"), [], "m.npy: not a .npy array"),
    "objects": (lambda folder: np.save(folder / "m.npy", np.array([[{}]]), allow_pickle=True), [], "m.npy: not a .npy array"),
    "integers": (save("m.npy", np.ones((4, 6), np.int64)), [], "dtype int64; write float16, float32 or float64"),
    "complex": (save("m.npy", np.ones((4, 6), complex)), [], "dtype complex128"),
    "one dimension": (save("m.npy", np.ones(6)), [], r"shape \(6,\); write an N x V matrix"),
    "no rows": (save("m.npy", np.ones((0, 6), "f4")), [], r"shape \(0, 6\)"),
    "one row": (save("m.npy", A[:1]), ["--budget", "1"], "1 valid row has no standard deviation"),
    "all constant": (save("m.npy", np.ones((9, 6), "f4")), ["--budget", "1"], "every column is constant"),
    "mask of numbers": (text("valid.json", "[1, 0]"), ["--valid", "valid.json"], "valid.json: holds int64; write one true or false"),
    "mask too short": (text("valid.json", "[true, false]"), ["--valid", "valid.json"], r"write 200 booleans"),
    "mask empty": (text("valid.json", json.dumps([False] * 200)), ["--valid", "valid.json"], "no row of m.npy may be chosen"),
    "absent": (lambda folder: (folder / "m.npy").unlink(), [], "m.npy: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_one_line_and_status_2(tmp_path, tasks, mistake, monkeypatch):
    change, arguments, message = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    np.save("m.npy", A)
    if change:
        change(tmp_path)
    done = equipoise("select", "m.npy", "--tasks", "tasks.json", "--output", "o.jsonl", *arguments)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert errors == [line for line in errors if re.search(message, line)]
    assert not (tmp_path / "o.jsonl").exists()


OTHER_FORMATS = {
    "m.csv": ("1,2,3,4,5,6\n1,x,3,4,5,6\n", "not a table of numbers"),
    "n.csv": ("1,2\n1,,\n", "not a table of numbers"),
    "m.safetensors": ("hello", "not a .safetensors file"),
    "m.parquet": ("hello", "not a Parquet file"),
    "m.txt": ("1 2 3", "no known matrix format; write a path that ends in .npy, .zarr"),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_broken_files_of_other_formats_are_one_line_too(tmp_path, name):
    from equipoise.attribution.matrix_file import open_matrix

    content, message = OTHER_FORMATS[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        open_matrix(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_matrices_that_are_ambiguous_or_not_numbers_are_refused(tmp_path):
    from equipoise.attribution.matrix_file import open_matrix

    save_file({"a": A, "b": A}, tmp_path / "two.safetensors")
    save_file({"a": A.astype(np.int32)}, tmp_path / "ints.safetensors")
    pq.write_table(pa.table({"name": ["x"], "v": [1.0]}), tmp_path / "names.parquet")
    zarr.create_group(str(tmp_path / "none.zarr"))
    for name, message in (
        ("two.safetensors", "exactly one two-dimensional tensor, found a, b"),
        ("ints.safetensors", "tensor a is I32"),
        ("names.parquet", "column name is string"),
        ("none.zarr", "exactly one two-dimensional array, found none"),
    ):
        with pytest.raises(UserError, match=message):
            open_matrix(tmp_path / name)


def test_full_selects_every_valid_row_whatever_the_budget(tmp_path):
    valid = RNG.random(200) < 0.5
    assert select(A, TASKS, "full", valid=valid).rows.tolist() == np.flatnonzero(valid).tolist()


def test_the_registry_names_importable_selectors_once_each():
    assert sorted(selector_names()) == sorted(chooser.name for chooser in SELECTORS if chooser.trains)
    assert len({chooser.name for chooser in SELECTORS}) == len(SELECTORS)
    for name in selector_names():
        assert callable(selector(name).load())


def test_a_share_is_taken_in_exact_arithmetic():
    assert len(select(A[:100], TASKS, "sum", 0.29)) == 29
    assert len(select(A[:100], TASKS, "sum", "1")) == 1
    assert len(select(A[:100], TASKS, "sum", 1.0)) == 100


def test_a_matrix_larger_than_the_readers_block_streams_to_the_same_selection(monkeypatch):
    from equipoise.selection import source

    monkeypatch.setattr(source, "BLOCK_BYTES", 2**19)
    large = RNG.standard_normal((30_000, 20)).astype(np.float32)
    names = [f"t{j // 5}" for j in range(20)]
    stored = zarr.create_array({}, data=large, chunks=(1000, 20))
    for name in ("bids", "round_robin", "task_max"):
        direct, streamed = select(large, names, name, 2000), select(stored, names, name, 2000)
        np.testing.assert_array_equal(direct.rows, streamed.rows)
        np.testing.assert_array_equal(direct.margins, streamed.margins)


def test_threads_change_nothing(monkeypatch):
    large = RNG.standard_normal((20_000, 33)).astype(np.float32)
    names = ["a"] * 33
    results = []
    for count in ("1", "2"):
        monkeypatch.setitem(os.environ, "NUMBA_NUM_THREADS", count)
        results.append(select(large, names, "bids", 3000))
    np.testing.assert_array_equal(results[0].rows, results[1].rows)
    np.testing.assert_array_equal(results[0].scores, results[1].scores)
