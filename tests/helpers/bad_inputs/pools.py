"""Pools and files of tasks."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.bad_inputs.case import Case, Make, both, cut, folder_as, gzipped, not_a_file, not_utf8, pipe_as, raw, text
from helpers.rows import texts

TASKS = "prepare_targets --config my.yaml"
PREPARE = "prepare_pool --config my.yaml"


def export(pool: str) -> str:
    """The command that reads the records of picks."""
    return f"export picks.jsonl --output out.jsonl --pool {pool}"


def lines(*rows: object, name: str = "pool.jsonl") -> Make:
    """A file of JSON lines."""
    return text(name, "".join(json.dumps(row) + "\n" for row in rows))


def row(**fields: object) -> dict[str, object]:
    """A sound row with other fields."""
    return {"prompt": "w1", "response": "w2"} | fields


def table(names: list[str], *columns: pa.Array | list) -> Make:
    """A Parquet pool."""
    return lambda folder: pq.write_table(pa.Table.from_arrays([pa.array(each) for each in columns], names), folder / "pool.parquet")


def saved(state: object) -> Make:
    """A folder as `datasets` saves it, its state anything."""
    return raw("saved/state.json", json.dumps(state).encode())


POOL, TABLE, SAVED = export("pool.jsonl"), export("pool.parquet"), export("saved")
NESTED = b'{"prompt": "p", "response": "r", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
WORDS = ["w1", "w2"]
READING = [
    *not_a_file("pool.jsonl", POOL)[1:],
    *not_utf8("pool.jsonl", POOL),
    Case("pool: a folder without data", folder_as("empty"), export("empty"), ("empty: a folder without data files",)),
    Case("pool: a pattern of nothing", None, export("none-*.jsonl"), ("none-*.jsonl: no such file",)),
    Case("pool: a very long name", None, export("x" * 300 + ".jsonl"), ("File name too long",)),
    Case("pool: an unknown kind", text("pool.txt", "w1"), export("pool.txt"), ("pool.txt: no known suffix",)),
    Case("pool: Parquet under another name", both(table(["prompt"], WORDS), lambda f: os.rename(f / "pool.parquet", f / "pool.jsonl")),
         POOL, ("pool.jsonl:1: Parquet",)),
    Case("pool: text as Parquet", text("pool.parquet", "w1"), TABLE, ("pool.parquet: cannot be read",)),
    Case("pool: Parquet cut", both(table(["prompt"], WORDS), cut("pool.parquet", 60)), TABLE, ("pool.parquet: cannot be read",)),
    Case("pool: columns of one name", table(["prompt", "prompt"], WORDS, WORDS), TABLE, ("pool.parquet", "columns of one name")),
    Case("pool: gzip cut", raw("pool.jsonl.gz", gzip.compress(b'{"prompt": "p"}' * 99)[:40]), export("pool.jsonl.gz"), ("cannot be read",)),
    Case("pool: no gzip", raw("pool.jsonl.gz", b'{"prompt": "p", "response": "r"}'), export("pool.jsonl.gz"), ("cannot be read",)),
    Case("pool: saved without files", saved({}), SAVED, ("state.json",)),
    Case("pool: saved as a list", saved([]), SAVED, ("state.json",)),
    Case("pool: saved files that are numbers", saved({"_data_files": [{"filename": 3}]}), SAVED, ("state.json",)),
    Case("pool: saved file missing", saved({"_data_files": [{"filename": "a.arrow"}]}), SAVED, ("saved/a.arrow: no such file",)),
    Case("pool: saved file that is a pipe", both(saved({"_data_files": [{"filename": "a.arrow"}]}), pipe_as("saved/a.arrow")), SAVED,
         ("a.arrow", "not a regular file")),
    Case("pool: saved, its state a pipe", both(folder_as("saved"), pipe_as("saved/state.json")), SAVED, ("saved",)),
    Case("pool: nested deeply", raw("pool.jsonl", NESTED), POOL, ("pool.jsonl:1: not JSON on one line (nested deeper",)),
    Case("pool: a very long number", raw("pool.jsonl", b'{"prompt": "p", "response": "r", "x": ' + b"1" * 5000 + b"}"), POOL,
         ("pool.jsonl:1: not JSON on one line",)),
    Case("pool: half of a surrogate pair", lines(row(prompt="\ud83d")), POOL, ("pool.jsonl:1: a text holds half of a surrogate pair",)),
    Case("pool: NaN", lines(row(x=float("nan"))), POOL, ("pool.jsonl:1: a number is not finite",)),
    Case("pool: a number for a text", lines(row(), row(response=3)), POOL, ("pool.jsonl:2: response is not text",)),
    Case("pool: a picture for a text", lines({"messages": [{"role": "user", "content": [{"type": "image"}]}]}), POOL,
         ("pool.jsonl:1: a turn's content has a part that is not text (image)",)),
    Case("pool: a list", lines([1]), POOL, ("pool.jsonl:1: not an object",)),
    Case("pool: broken on line 2", text("pool.jsonl", json.dumps(row()) + "\n{broken\n"), POOL, ("pool.jsonl:2: not JSON",)),
    Case("pool: no answer", lines(row(), {"prompt": "a"}), POOL, ("pool.jsonl:2: no form fits its fields", "1 of 2 rows are bad")),
    Case("pool: an empty answer", lines(row(response=" ")), POOL, ("pool.jsonl:1: the response is empty",)),
    Case("pool: ends with the user", lines({"messages": [{"role": "user", "content": "a"}]}), POOL, ("end with an assistant's",)),
    Case("pool: CSV with open quotes", text("pool.csv", 'prompt,response\na,"b\n'), export("pool.csv"), ("pool.csv:2: not CSV",)),
    Case("pool: CSV with a column twice", text("pool.csv", "prompt,prompt\na,b\n"), export("pool.csv"), ("pool.csv:1: column names",)),
]  # fmt: skip
PREPARING = [
    Case("prepared pool: no rows", text("pool.jsonl", ""), PREPARE, ("pool: no example in pool.jsonl (0 rows)",)),
    Case("prepared pool: an id twice", lines(row(id="x"), row(id="x")), PREPARE, ("pool.jsonl:2: its id stands before",)),
    Case("prepared pool: an id that is a list", lines(row(id=[])), PREPARE, ("pool.jsonl:1: id or source is not text",)),
    Case("prepared pool: a control token", lines(row(prompt="say <eos> now")), PREPARE, ("a text holds a control token",)),
    Case("prepared pool: gzip", gzipped("pool.jsonl"), PREPARE, ("pool.jsonl:1: gzip",)),
    Case("prepared pool: a pipe", pipe_as("pool.jsonl"), PREPARE, ("pool.jsonl: not a regular file",)),
]
TARGETS = [
    Case("task: missing", lambda folder: (folder / "first.jsonl").unlink(), TASKS, ("first.jsonl: no such file",)),
    Case("task: a pipe", pipe_as("first.jsonl"), TASKS, ("first.jsonl: not a regular file",)),
    Case("task: UTF-16", raw("first.jsonl", json.dumps(row()).encode("utf-16")), TASKS, ("first.jsonl:1: UTF-16",)),
    Case("task: broken", text("first.jsonl", json.dumps(row()) + '\n{"prompt": \n'), TASKS, ("first.jsonl:2: not JSON",)),
    Case("task: no answer", lines({"prompt": "a"}, name="first.jsonl"), TASKS, ("first.jsonl:1: no form fits its fields",)),
    Case("task: an empty question", lines(row(prompt=" "), name="first.jsonl"), TASKS, ("first.jsonl:1: the prompt is empty",)),
    Case("task: an id twice", lines(row(id="x"), row(id="x"), name="first.jsonl"), TASKS, ("first.jsonl:2: its id stands before",)),
    Case("task: a list", lines(["a"], name="first.jsonl"), TASKS, ("first.jsonl:1: not an object",)),
    Case("task: too few", lines(row(), name="first.jsonl"), TASKS, ("hold 1 examples, fewer than targets.size 4; write targets.size: 1",)),
    Case("task: a prompt too long", lines(*[row(prompt="w1 " * 99 + f"w{i}") for i in range(6)], name="first.jsonl"), TASKS,
         ("tasks.first: the prompt of validation example",)),
    Case("task: sound rows, one control token", lines(*texts(5), row(prompt="<eos>"), name="first.jsonl"), TASKS,
         ("first", "a text holds a control token")),
]  # fmt: skip
CASES = [*READING, *PREPARING, *TARGETS]
