"""Picks and selections given to `export` and `explain`."""

import json
import os

from helpers.bad_inputs.case import Case, Make, both, not_a_file, not_utf8, raw, text

EXPORT = "export picks.jsonl --pool pool.jsonl --output out.jsonl"
OWN = "export picks.jsonl --output out.jsonl"
PARQUET = f"{OWN} --format parquet"
EXPLAIN = "explain picks.jsonl --row 3"
TURNS = [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}]


def picks(*lines: object) -> Make:
    """A file of picks."""
    return text("picks.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def pick(**values: object) -> dict[str, object]:
    """A sound pick of `equipoise select` with other values."""
    return {"rank": 0, "row": 3, "score": 1.5, "column": 0, "task": "gsm"} | values


def told(**values: object) -> dict[str, object]:
    """A sound line of a selection of the workflow with other values."""
    more = {"id": "row-3", "source": "pool", "messages": TURNS, "margin": 0.5, "validation_id": "gsm/0", "top_tasks": ["gsm"]}
    return pick(**{**more, **values})


def without(key: str) -> dict[str, object]:
    """A line of a selection without a key."""
    line = told()
    del line[key]
    return line


CASES = [
    *not_a_file("picks.jsonl", EXPORT),
    *not_utf8("picks.jsonl", EXPORT),
    Case("picks: empty", text("picks.jsonl", ""), EXPORT, ("picks.jsonl: holds no pick",)),
    Case("picks: broken on line 2", text("picks.jsonl", json.dumps(pick()) + "\n{\n"), EXPORT, ("picks.jsonl:2: not JSON",)),
    Case("picks: a list", picks([]), EXPORT, ("picks.jsonl:1: not an object",)),
    Case("picks: nested deeply", raw("picks.jsonl", b"[" * 100_000), EXPORT, ("picks.jsonl:1: not JSON",)),
    Case("picks: a very long number", raw("picks.jsonl", b'{"row": ' + b"1" * 5000 + b"}"), EXPORT, ("picks.jsonl:1: not JSON",)),
    Case("picks: half of a surrogate pair", picks(pick(task="\ud83d")), EXPORT, ("picks.jsonl:1", "surrogate")),
    Case("picks: without a row", picks({"rank": 0}), EXPORT, ("picks.jsonl:1: row",)),
    Case("picks: a row in words", picks(pick(row="three")), EXPORT, ("picks.jsonl:1: row",)),
    Case("picks: a part of a row", picks(pick(row=1.5)), EXPORT, ("picks.jsonl:1: row",)),
    Case("picks: row true", picks(pick(row=True)), EXPORT, ("picks.jsonl:1: row",)),
    Case("picks: a row that is a list", picks(pick(row=[3])), EXPORT, ("picks.jsonl:1: row",)),
    Case("picks: row -1", picks(pick(row=-1)), EXPORT, ("picks.jsonl:1: row",)),
    Case("picks: a row beyond the pool", picks(pick(row=10**6)), EXPORT, ("pool.jsonl: has no row 1000000",)),
    Case("picks: a row twice", picks(pick(), pick(rank=1)), EXPORT, ("picks.jsonl:2: row 3", "twice")),
    Case("picks: a rank in words", picks(pick(rank="first")), EXPORT, ("picks.jsonl:1: rank",)),
    Case("picks: a score in words", picks(pick(score="high")), EXPORT, ("picks.jsonl:1: score",)),
    Case("picks: a score of NaN", picks(pick(score=float("nan"))), EXPORT, ("picks.jsonl:1: not JSON",)),
    Case("picks: a score beyond numbers", raw("picks.jsonl", b'{"row": 3, "score": 1e999}'), EXPORT, ("picks.jsonl:1: score",)),
    Case("picks: a row beyond 64 bits", picks(told(row=2**70)), PARQUET, ("picks.jsonl:1: row",)),
    Case("picks: a column in words", picks(pick(column="c")), EXPORT, ("picks.jsonl:1: column",)),
    Case("picks: a task that is a number", picks(pick(task=3)), EXPORT, ("picks.jsonl:1: task",)),
    Case("picks: an id that is a list", picks(told(id=["a"])), PARQUET, ("picks.jsonl:1: id",)),
    Case("picks: rows alone without a pool", None, OWN, ("picks.jsonl: holds row numbers only", "--pool")),
    Case("picks: messages on some lines", picks(told(), pick(row=4)), OWN, ("picks.jsonl: holds row numbers only",)),
    Case("picks: messages that are a text", picks(told(messages="w1")), OWN, ("picks.jsonl:1: messages",)),
    Case("picks: no messages in the list", picks(told(messages=[])), OWN, ("picks.jsonl:1: messages",)),
    Case("picks: messages of numbers", picks(told(messages=[3])), PARQUET, ("picks.jsonl:1", "messages")),
    Case("picks: a message without a role", picks(told(messages=[{"content": "a"}])), OWN, ("picks.jsonl:1", "role")),
    Case("picks: a message of a number", picks(told(messages=[{"role": "user", "content": 3}])), PARQUET, ("picks.jsonl:1",)),
    Case("picks: tools that are a text", picks(told(tools="hammer")), PARQUET, ("picks.jsonl:1: tools",)),
    Case("explain: empty", text("picks.jsonl", ""), EXPLAIN, ("picks.jsonl", "no pick")),
    Case("explain: another row", picks(told(row=4, id="x")), EXPLAIN, ("picks.jsonl: no pick with id or row '3'", "e.g. x")),
    Case("explain: picks of an own matrix", picks(pick()), EXPLAIN, ("picks.jsonl:1", "id")),
    *(Case(f"explain: without {key}", picks(without(key)), EXPLAIN, ("picks.jsonl:1", key))
      for key in ("source", "rank", "score", "margin", "task", "column", "validation_id", "top_tasks", "messages")),
    Case("explain: top tasks that are a number", picks(told(top_tasks=3)), EXPLAIN, ("picks.jsonl:1: top_tasks",)),
    Case("explain: a margin in words", picks(told(margin="wide")), EXPLAIN, ("picks.jsonl:1: margin",)),
    Case("explain: a task that leads out", picks(told(task="../../x")), EXPLAIN, ("task '../../x'",)),
    Case("explain: no targets beside it", picks(told()), EXPLAIN, ("manifest.json: missing",)),
    Case("explain: a folder", None, "explain base --row 3", ("base: neither a selection file nor a run's folder",)),
    Case("explain: a run that is none", lambda f: os.makedirs(f / "runs/bids"), "explain runs/bids --row 3", ("run 'bids'",)),
    Case("explain: a selection without a manifest", raw("s/selection-0/budget-0.1.jsonl", b"{}"),
         "explain s/selection-0/budget-0.1.jsonl --row 3", ("budget-0.1.json: missing",)),
    Case("explain: a selection with a broken manifest",
         both(raw("s/selection-0/budget-0.1.jsonl", b"{}"), raw("s/selection-0/budget-0.1.json", b"[" * 100_000)),
         "explain s/selection-0/budget-0.1.jsonl --row 3", ("budget-0.1.json: not a manifest",)),
    Case("explain: a selection with another's manifest",
         both(raw("s/selection-0/budget-0.1.jsonl", b"{}"), raw("s/selection-0/budget-0.1.json", b'{"kind": "pool"}')),
         "explain s/selection-0/budget-0.1.jsonl --row 3", ("budget-0.1.json: is 'pool', not 'selection'",)),
]  # fmt: skip
