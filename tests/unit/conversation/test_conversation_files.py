"""Files as people keep them give the same rows; what cannot be read is refused in one line with its place."""

import csv
import gzip
import json
import os
import socket
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.conversation import text_files
from equipoise.conversation.reading import Summary, read_records
from equipoise.conversation.sources import dataset_rows, find_files, input_files, read_rows
from equipoise.errors import UserError
from helpers.conversations import PLAIN, lines, read

ROWS = [{"prompt": f"\u00fc\u2028 one\x85 \x0b two {i}\r\n three\u0000"[:-1], "response": f'r {i}, "q"\n'} for i in range(5)]


def text(rows=ROWS, **how) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False, **how) + "\n" for row in rows).encode()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def table(rows, delimiter=",") -> bytes:
    import io

    out = io.StringIO()
    writer = csv.DictWriter(out, ["prompt", "response"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def parquet(path):
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def arrow(path, open_writer):
    batch = pa.Table.from_pylist(ROWS)
    with open_writer(str(path), batch.schema) as writer:
        writer.write_table(batch, max_chunksize=2)


FILES = {
    "a.jsonl": text(),
    "a.JSONL": text(),
    "a.ndjson": text(),
    "a.Ndjson.GZ": gzip.compress(text()),
    "two_members.jsonl.gz": gzip.compress(text(ROWS[:2])) + gzip.compress(text(ROWS[2:])),
    "a.jsonl.zst": zstd(text()),
    "two_frames.jsonl.zst": zstd(text(ROWS[:2])) + zstd(text(ROWS[2:])),
    "bom.jsonl": b"\xef\xbb\xbf" + text(),
    "blank_lines.jsonl": text().replace(b"\n", b"\n \n\n"),
    "carriage_returns.jsonl": text().replace(b"\n", b"\r\n"),
    "no_last_line_end.jsonl": text()[:-1],
    "lines.json": text(),
    "array.json": json.dumps(ROWS).encode(),
    "pretty.json": b"\xef\xbb\xbf \n" + json.dumps(ROWS, indent=4, ensure_ascii=False).encode() + b"\n\n",
    "array.jsonl": json.dumps(ROWS, indent=1).encode(),
    "array.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "array.json.zst": zstd(json.dumps(ROWS).encode()),
    "a.csv": table(ROWS),
    "bom.csv": b"\xef\xbb\xbf" + table(ROWS),
    "a.csv.gz": gzip.compress(table(ROWS)),
    "a.tsv": table(ROWS, "\t"),
    "a.parquet": parquet,
    "stream.arrow": lambda path: arrow(path, pa.ipc.new_stream),
    "file.arrow": lambda path: arrow(path, pa.ipc.new_file),
}


def write(path, content):
    content(path) if callable(content) else path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_kind_gives_the_same_rows(name, tmp_path):
    (file,) = find_files([write(tmp_path / name, FILES[name])])
    rows = list(read_rows(file))
    assert [row.value for row in rows] == ROWS
    assert [row.made_id for row in rows] == [f"{name.split('.')[0]}-{i}" for i in range(5)]
    assert {row.source for row in rows} == {name.split(".")[0]}


@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_an_array_is_read_in_pieces_of_any_size(at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "READ_AT_ONCE", at_once)
    values = [{"a": "x" * n, "n": [n, -1.5e3, True, None, '\u00fc"]']} for n in range(40)] + [12345, "]", [[]]]
    path = write(tmp_path / "a.json", json.dumps(values, indent=2, ensure_ascii=False).encode())
    rows = list(read_rows(find_files([path])[0]))
    assert [row.value for row in rows] == values
    found = [n for n, line in enumerate(path.read_text().split("\n"), 1) if line in ("  {", "  12345,", '  "]",', "  [")]
    assert [row.where for row in rows] == [f"{path}:{n}" for n in found]


def test_places_are_lines_of_text_and_rows_of_tables(tmp_path):
    path = write(tmp_path / "a.jsonl", b"\n" + text(ROWS[:1]) + b"\n\n" + text(ROWS[1:2]))
    assert [row.where for row in read_rows(find_files([path])[0])] == [f"{path}:2", f"{path}:5"]
    path = write(tmp_path / "a.csv", b'prompt,response\n"one\ntwo",r\np,r\n')
    assert [row.where for row in read_rows(find_files([path])[0])] == [f"{path}:2", f"{path}:4"]
    path = write(tmp_path / "a.parquet", parquet)
    assert [row.where for row in read_rows(find_files([path])[0])][:2] == [f"{path}:1", f"{path}:2"]


def test_folders_saved_by_datasets_and_hub_data_give_the_same_rows(tmp_path):
    from datasets import Dataset, DatasetDict

    dataset = Dataset.from_list(ROWS)
    dataset.select([4, 2, 0]).save_to_disk(tmp_path / "picked")
    dataset.save_to_disk(tmp_path / "saved", num_shards=2)
    DatasetDict(train=dataset).save_to_disk(tmp_path / "splits")
    assert [row.value for row in read_rows(find_files([tmp_path / "picked"])[0])] == [ROWS[4], ROWS[2], ROWS[0]]
    saved = list(read_rows(find_files([tmp_path / "saved"])[0]))
    assert [row.value for row in saved] == ROWS
    assert [row.made_id for row in saved] == [f"saved-{i}" for i in range(5)]
    assert [row.value for row in read_rows(find_files([tmp_path / "splits" / "train"])[0])] == ROWS
    with pytest.raises(UserError, match=r"holds splits; write the folder of one, as .*train"):
        find_files([tmp_path / "splits"])
    hub = list(dataset_rows(dataset, "ada/rows"))
    assert (hub[0].value, hub[0].where, hub[0].made_id) == (ROWS[0], "ada/rows:1", "ada/rows/0")
    assert [row.value for row in hub] == ROWS


def test_folders_and_patterns_are_searched_in_order_and_ids_tell_files_apart(tmp_path):
    for name in ("b/x.jsonl", "a/x.jsonl", "a/y.json", "a/y.csv", "a/deep/z.jsonl.gz", "a/.cache/no.jsonl", "a/README.md"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text()) if name.endswith("gz") else table(ROWS) if name.endswith("csv") else text())
    (tmp_path / "data" / "a" / "dataset_info.json").write_text("{}")
    names = ["a/deep/z", "a/x", "a/y.csv", "a/y.json", "b/x"]
    assert [file.name for file in find_files([tmp_path / "data"])] == names
    assert [file.name for file in find_files([tmp_path / "data/b/*.jsonl", tmp_path / "data/a"])] == [names[-1], *names[:-1]]
    assert [file.name for file in find_files([tmp_path / "data/**/x.json*"])] == ["a/x", "b/x"]
    options = replace(PLAIN, bad_rows="skip")
    rows = (row for file in find_files([tmp_path / "data"]) for row in read_rows(file))
    ids = [record.id for record in read_records(rows, options, Summary())]
    assert len(set(ids)) == 25
    assert ids[0] == "a/deep/z-0"


def test_one_files_ids_are_its_name_and_row_numbers_whatever_stands_before(tmp_path):
    rows = [{"prompt": "p", "response": "r"}, {"prompt": "p"}, {"prompt": "q", "response": "r"}]
    records, _ = read(lines(tmp_path / "my.pool.jsonl", rows), options=replace(PLAIN, bad_rows="skip"))
    assert [record.id for record in records] == ["my.pool-0", "my.pool-2"]


def nested(depth: int) -> bytes:
    return b'{"prompt": "p", "response": "r", "x": ' + b"[" * depth + b"]" * depth + b"}"


GOOD = b'{"prompt": "p", "response": "r"}\n'
# name -> (content, words; "FILE" is the path)
UNREADABLE = {
    "utf16.jsonl": (text().decode().encode("utf-16"), "FILE:1: UTF-16, not UTF-8 text"),
    "utf16le.jsonl": (text().decode().encode("utf-16-le"), "FILE:1: binary, or UTF-16, not UTF-8 text"),
    "latin.jsonl": (
        GOOD + '{"prompt": "\u00fc", "response": "r"}\n'.encode("latin-1"),
        "FILE:2: not UTF-8 (byte 13 of the line); save the file as UTF-8",
    ),
    "latin.json": (
        b"[" + GOOD + b",\n" + '{"prompt": "\u00fc", "response": "r"}]'.encode("latin-1"),
        "FILE:3: not UTF-8; save the file as UTF-8",
    ),
    "latin.csv": ("prompt,response\np,r\n\u00fc,r\n".encode("latin-1"), "FILE:3: not UTF-8 (byte 1 of the line)"),
    "binary.jsonl": (bytes(range(256)), "FILE:1: binary, or UTF-16, not UTF-8 text"),
    "gzipped.jsonl": (gzip.compress(text()), "FILE:1: gzip, not UTF-8 text"),
    "twice.jsonl.gz": (gzip.compress(gzip.compress(text())), "FILE:1: gzip, not UTF-8 text"),
    "zstd.json": (zstd(text()), "FILE:1: zstd, not UTF-8 text"),
    "parquet.jsonl": (parquet, "FILE:1: Parquet, not UTF-8 text"),
    "arrow.csv": (lambda path: arrow(path, pa.ipc.new_file), "FILE:1: Arrow, not UTF-8 text"),
    "plain.jsonl.gz": (text(), "FILE: cannot be read (zlib inflate failed"),
    "plain.jsonl.zst": (text(), "FILE: cannot be read (ZSTD decompress failed"),
    "cut.jsonl.gz": (gzip.compress(text() * 500)[:-200], "FILE: cannot be read (Truncated compressed stream"),
    "cut.jsonl.zst": (zstd(text() * 500)[:-2], "FILE: cannot be read (Truncated compressed stream"),
    "plain.parquet": (text(), "FILE: cannot be read (Parquet magic bytes not found"),
    "empty.parquet": (b"", "FILE: cannot be read ("),
    "plain.arrow": (text(), "FILE: cannot be read ("),
    "broken.jsonl": (GOOD + b'{"prompt": "p", \n' + GOOD, "FILE:2: not JSON on one line (Expecting property name"),
    "repeated_key.jsonl": (
        b'{"prompt": "p", "prompt": "q", "response": "r"}',
        "FILE:1: not JSON on one line (a key stands twice in an object)",
    ),
    "two_values.jsonl": (GOOD[:-1] + GOOD, "FILE:1: not JSON on one line (Extra data"),
    "no_objects.jsonl": (GOOD + b'"p"\n', "FILE:2: not an object of fields (str)"),
    "pretty_object.json": (b'{\n "prompt": "p",\n "response": "r"\n}\n', "FILE:1: not JSON on one line"),
    "broken.json": (b"[\n" + GOOD + b',\n{"prompt": p}\n]', "FILE:4: not a JSON array (Expecting value"),
    "endless.json": (b"[\n" + GOOD, "FILE:3: not a JSON array (Expecting value"),
    "open_text.json": (b'[\n{"prompt": "p', "FILE:2: not a JSON array (Unterminated string"),
    "more.json": (b"[" + GOOD + b"] " + GOOD, "FILE:2: not a JSON array (text after the array)"),
    "deep.jsonl": (GOOD + nested(70), "FILE:2: not JSON on one line (nested deeper than 64 levels)"),
    "very_deep.jsonl": (GOOD + nested(100_000), "FILE:2: not JSON on one line (nested deeper than 64 levels)"),
    "very_deep.json": (b"[\n" + nested(100_000) + b"]", "FILE:2: not a JSON array (nested deeper than 64 levels)"),
    "nan.jsonl": (GOOD + b'{"prompt": "p", "response": "r", "x": NaN}\n', "FILE:2: a number is not finite (NaN, Infinity)"),
    "infinity.json": (b'[{"prompt": "p", "response": "r", "x": [-Infinity]}]', "FILE:1: a number is not finite (NaN, Infinity)"),
    "overflow.jsonl": (b'{"prompt": "p", "response": "r", "x": 1e999}', "FILE:1: a number is not finite (NaN, Infinity)"),
    "long_number.jsonl": (
        b'{"prompt": "p", "response": "r", "x": ' + b"1" * 5000 + b"}",
        "FILE:1: not JSON on one line (Exceeds the limit",
    ),
    "surrogate.jsonl": (b'{"prompt": "\\ud83d", "response": "r"}', "FILE:1: a text holds half of a surrogate pair"),
    "cells.csv": (b"prompt,response\np,r\np,r,x\n", "FILE:3: another number of cells than of column names (3 and 2)"),
    "quote.csv": (b'prompt,response\np,r\n"p,r\nx,y\n', "FILE:3: not CSV (unexpected end of data)"),
    "repeated.csv": (b"prompt,prompt\np,r\n", "FILE:1: column names are empty or repeat (prompt, prompt)"),
    "unnamed.csv": (b"prompt,\np,r\n", "FILE:1: column names are empty or repeat (prompt, )"),
    "unknown.txt": (text(), "FILE: no known suffix; write one of .json, .jsonl, .ndjson, .csv, .tsv, .parquet, .arrow"),
    "none": (text(), "FILE: no known suffix"),
    "a.parquet.gz": (text(), "FILE: no known suffix"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_in_one_line_with_its_place(name, tmp_path):
    content, words = UNREADABLE[name]
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as refused:
        read(path)
    assert words.replace("FILE", str(path)) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_ROW", 1000)
    for name, content in (("a.jsonl", GOOD + b'{"prompt": "' + b"x" * 2000), ("a.csv", b"prompt,response\n" + b"x" * 2000)):
        with pytest.raises(UserError, match="a line longer than 0 MB"):
            read(write(tmp_path / name, content))
    with pytest.raises(UserError, match=":2: not a JSON array"):
        read(write(tmp_path / "a.json", b"[\n" + b'{"prompt": "' + b"x" * 200_000))


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        listening.bind("socket.jsonl")
    for name, words in {
        "pipe.jsonl": "not a regular file",
        "socket.jsonl": "not a regular file",
        "folder.jsonl": "a folder without data files",
        "loop.jsonl": "Too many levels of symbolic links",
        "missing.jsonl": "no such file",
        "*.parquet": "no such file",
        "a\0b": "embedded null byte",
        "x" * 300 + ".jsonl": "File name too long",
        "folder.jsonl/x/../../nothing": "no such file",
    }.items():
        with pytest.raises(UserError, match=words) as refused:
            find_files([tmp_path / name if "\0" not in name else name])
        assert "\n" not in str(refused.value)


def test_folders_and_patterns_stand_for_their_files_and_what_is_not_there_yet_for_itself(tmp_path, monkeypatch):
    from datasets import Dataset

    monkeypatch.chdir(tmp_path)
    for name in ("data/b.jsonl", "data/a.csv", "more/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, text())
    saved = tmp_path / "saved"
    Dataset.from_list([{"prompt": "p", "response": "r"}]).save_to_disk(saved)
    inside = [f"saved/{name}" for name in ("data-00000-of-00001.arrow", "dataset_info.json", "state.json")]
    found = input_files(["./later.jsonl", "more/*.jsonl", "data", "saved"])
    assert found == ["./later.jsonl", "more/c.jsonl", "data/a.csv", "data/b.jsonl", *inside]
    for entry in ("nothing/*.jsonl", "nothing_in"):
        (tmp_path / "nothing_in").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=r"no such file|without data files"):
            input_files([entry])


def test_a_file_named_twice_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", text())
    with pytest.raises(UserError, match="named twice"):
        find_files([path, tmp_path / "*.jsonl"])


def test_a_name_with_pattern_characters_is_a_file_first(tmp_path):
    assert [record.id for record in read(write(tmp_path / "a[1]*.jsonl", GOOD))[0]] == ["a[1]*-0"]


def test_a_long_pool_is_read_a_row_at_a_time(tmp_path):
    import tracemalloc

    row = json.dumps({"prompt": "p", "response": "x" * 10_000})
    (tmp_path / "a.json").write_text("[" + ",\n".join([row] * 2000) + "]")
    lines(tmp_path / "b.jsonl", [json.loads(row)] * 2000)
    for file in find_files([tmp_path]):
        tracemalloc.start()
        assert sum(1 for _ in read_rows(file)) == 2000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
        tracemalloc.stop()


def test_missing_numbers_of_tables_are_null_and_times_are_text(tmp_path):
    import datetime

    rows = [{"prompt": "p", "response": "r", "score": float("nan"), "at": datetime.date(2024, 1, 2), "raw": b"x"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (record,), _ = read(tmp_path / "a.parquet")
    assert record.metadata == {"score": None, "at": "2024-01-02", "raw": "b'x'"}
