"""Rows to records: refused or skipped, ids, duplicates, limits; and no input but ends in records or one line."""

import gzip
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.conversation.forms import FORMS
from equipoise.errors import UserError
from helpers.conversations import PLAIN, assistant, lines, read, user


def pairs(count: int) -> list[dict]:
    return [{"prompt": f"question {i}", "response": f"answer {i}"} for i in range(count)]


def test_refusing_names_the_first_ten_bad_rows_and_their_total(tmp_path):
    rows = [{"prompt": "p", "response": ""} if i % 2 else pairs(40)[i] for i in range(40)]
    with pytest.raises(UserError) as refused:
        read(lines(tmp_path / "pool.jsonl", rows))
    message = str(refused.value)
    assert message.count("the response is empty") == 10
    assert f"{tmp_path}/pool.jsonl:20: " in message
    assert f"{tmp_path}/pool.jsonl:22: " not in message
    assert message.endswith("; ... (20 of 40 rows are bad: correct them, or write bad_rows: skip)")


def test_skipping_counts_by_reason(tmp_path):
    path = lines(tmp_path / "pool.jsonl", [*pairs(3), {"prompt": "p", "response": ""}, {"x": 1}, {"y": "z"}])
    path.write_bytes(path.read_bytes() + b'{"prompt"\n')
    records, summary = read(path, options=replace(PLAIN, bad_rows="skip"))
    assert [record.prompt for record in records] == ["question 0", "question 1", "question 2"]
    assert summary.bad_rows == {
        "the response is empty": 1,
        "no form fits its fields; name them with format and columns": 2,
        "not JSON on one line": 1,
    }
    assert (summary.rows, summary.records) == (7, 3)
    assert "1 rows are left out: the response is empty" in summary.lines()
    assert json.loads(json.dumps(summary.content())) == summary.content()
    assert summary.content()["forms"] == {"prompt": 3}


def test_given_ids_that_repeat_are_bad_rows_or_renamed(tmp_path):
    rows = [{"id": name, **pair} for name, pair in zip(["a", "a", "a#2", 7, "7", ""], pairs(6), strict=True)]
    path = lines(tmp_path / "pool.jsonl", rows)
    with pytest.raises(UserError) as refused:
        read(path)
    remedy = "give it another, which pool.repeated_ids: rename does for a pool"
    assert f"{path}:2: its id stands before; {remedy} ('a' at {path}:1)" in str(refused.value)
    assert "2 of 6 rows are bad" in str(refused.value)
    records, summary = read(path, options=replace(PLAIN, repeated_ids="rename"))
    assert [record.id for record in records] == ["a", "a#2", "a#2#2", "7", "7#2", "pool-5"]
    assert summary.renamed == 3


def test_exact_duplicates_are_counted_always_and_removed_on_request(tmp_path):
    rows = [*pairs(3), pairs(2)[1], {"messages": [user("question 0"), assistant("answer 0")]}]
    path = lines(tmp_path / "pool.jsonl", rows)
    records, summary = read(path)
    assert (len(records), summary.exact_duplicates, summary.removed) == (5, 2, [])
    records, summary = read(path, options=replace(PLAIN, deduplicate="exact"))
    assert [record.id for record in records] == ["pool-0", "pool-1", "pool-2"]
    assert summary.exact_duplicates == 2
    assert summary.removed == [
        {"row": "pool-3", "id": "pool-3", "kind": "exact", "of": "pool-1"},
        {"row": "pool-4", "id": "pool-4", "kind": "exact", "of": "pool-0"},
    ]


def test_a_file_that_is_there_twice_with_its_ids_is_no_mistake_to_the_removal(tmp_path):
    rows = [{"id": f"x{i}", **pair} for i, pair in enumerate(pairs(4))]
    records, summary = read(
        lines(tmp_path / "a.jsonl", rows), lines(tmp_path / "b.jsonl", rows), options=replace(PLAIN, deduplicate="exact")
    )
    assert [record.id for record in records] == ["x0", "x1", "x2", "x3"]
    assert [(gone["row"], gone["of"]) for gone in summary.removed] == [(f"b-{i}", f"x{i}") for i in range(4)]


def test_a_row_is_no_duplicate_of_one_that_was_left_out(tmp_path):
    one, two = ({"id": "a", **pair} for pair in pairs(2))
    rows = [one, two, two | {"id": "b"}]
    records, summary = read(lines(tmp_path / "pool.jsonl", rows), options=replace(PLAIN, bad_rows="skip", deduplicate="exact"))
    assert [(record.id, record.prompt) for record in records] == [("a", "question 0"), ("b", "question 1")]
    assert summary.removed == []


def test_near_duplicates_are_removed_and_other_texts_stay(tmp_path):
    words = [f"word{i}" for i in range(200)]
    long = " ".join(words)
    rows = [
        {"prompt": "Say it.", "response": long},
        {"prompt": "say it!", "response": long.replace("word100", "another")},
        {"prompt": "Say it.", "response": " ".join(reversed(words))},
        {"prompt": "What is 3 + 4?", "response": "7"},
        {"prompt": "What is 3 + 5?", "response": "8"},
        {"prompt": "?", "response": "!"},
        {"prompt": "!", "response": "?"},
        {"prompt": "今日は天気がいいので散歩に行きました。" * 3, "response": "はい"},
        {"prompt": "明日は仕事があるので早く寝るつもりです。" * 3, "response": "はい"},
    ]
    path = lines(tmp_path / "pool.jsonl", rows)
    records, summary = read(path, options=replace(PLAIN, deduplicate="near"))
    assert [record.id for record in records] == [f"pool-{i}" for i in range(9) if i != 1]
    assert summary.removed == [{"row": "pool-1", "id": "pool-1", "kind": "near", "of": "pool-0"}]
    assert summary.exact_duplicates == 0


def test_the_limit_counts_records_and_what_comes_after_is_not_judged(tmp_path):
    rows = [{"x": 1}, *pairs(3), {"x": 1}]
    path = lines(tmp_path / "pool.jsonl", rows)
    records, summary = read(path, options=replace(PLAIN, bad_rows="skip", limit=2))
    assert [record.id for record in records] == ["pool-1", "pool-2"]
    assert summary.rows == 3
    assert len(read(lines(tmp_path / "good.jsonl", rows[1:]), options=replace(PLAIN, limit=3))[0]) == 3
    with pytest.raises(UserError, match="1 of 2 rows are bad"):
        read(path, options=replace(PLAIN, limit=1))


# any input ends in records or in one line
FIELDS = [*sorted(set().union(*(form.names for form in FORMS.values()))), "id", "source", "dataset", "images", "note"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["user", "gpt", "[]", "[{}]", "{", "true"])
)
TURN_KEYS = st.sampled_from(
    ["role", "from", "content", "value", "tool_calls", "weight", "loss_weight", "train", "type", "text", "function", "name", "x"]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TURN_KEYS, inner, max_size=3), max_leaves=8)
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant", "tool", "function_call", "gpt"]),
            "content": st.text(min_size=1, max_size=3) | VALUES,
        }
    ),
    max_size=3,
)
SOME_ROWS = st.lists(st.dictionaries(st.sampled_from(FIELDS), TURNS | VALUES, max_size=5) | VALUES, min_size=1, max_size=5)
QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ends_well(path, **options) -> None:
    refusal = ""
    try:
        records, summary = read(path, options=replace(PLAIN, **options))
    except UserError as refused:
        refusal = str(refused)
    assert "\n" not in refusal
    assert refusal.encode() == refusal.encode("utf-8", "replace")
    if not refusal:
        assert len({record.id for record in records}) == len(records) == summary.records
        for record in records:
            assert record.prompt.strip()
            assert record.response.strip()
            assert type(record).from_json(record.to_json()) == record
            assert [record.wording == other.wording for other in records] == [record.key == other.key for other in records]


@QUICK
@given(SOME_ROWS, st.sampled_from([None, *FORMS]), st.sampled_from(["refuse", "skip"]))
def test_any_rows_end_in_records_or_one_line(tmp_path, rows, form, bad_rows):
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ends_well(path, format=form, bad_rows=bad_rows, repeated_ids="rename", deduplicate="exact")


@QUICK
@given(st.data())
def test_any_bytes_end_in_records_or_one_line(tmp_path, data):
    content = data.draw(
        st.binary(max_size=60)
        | st.text(st.sampled_from('[]{},:"\\ \nu08daptrueNaI-1e"'), max_size=60).map(str.encode)
        | st.just(b'[{"prompt": "p", "response": "r"},\n {"prompt": "q", "response": "s"}]')
        | st.just(b'prompt,response\n"p\n",r\nq,"s"\n')
    )
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(content)))
        content = content[:place] + data.draw(st.binary(max_size=2)) + content[place + data.draw(st.integers(0, 2)) :]
    suffix = data.draw(st.sampled_from(["jsonl", "json", "csv", "tsv", "jsonl.gz", "json.zst", "parquet", "arrow"]))
    path = tmp_path / f"pool.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == "jsonl.gz" and data.draw(st.booleans()) else content)
    ends_well(path, bad_rows=data.draw(st.sampled_from(["refuse", "skip"])))
