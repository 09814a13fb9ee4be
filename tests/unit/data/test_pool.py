"""prepare_pool: formats in, one Parquet file and a shard plan out, and one line for every mistake."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.config_file import parse_config
from equipoise.conversation.reading import AS_IT_IS, Summary, read_files
from equipoise.conversation.record import from_columns
from equipoise.data.pool import prepare_pool
from equipoise.data.shards import CHUNK_ROWS, chunk_count, plan_shards
from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.store.manifest import read_manifest
from helpers.experiment import read_pool
from helpers.rows import texts, write_jsonl


def layout_of(config):
    return config.layout


def test_pool_parquet_keeps_order_texts_and_counts(tiny_config):
    prepare_pool(tiny_config)
    layout = layout_of(tiny_config)
    pool = read_pool(layout.pool)
    assert pool["id"] == [row["id"] for row in texts(40)]
    assert pool["prompt"] == [row["prompt"] for row in texts(40)]
    assert pool["source"] == ["pool"] * 40
    # <bos> <|user|> three words, <|assistant|>, then the response's words and eos
    assert pool["tokens"][0] == 1 + 1 + 4 + 1 + 2 + 1
    assert pool["completion_tokens"][0] == 3
    manifest = read_manifest(layout.pool_manifest, "pool")
    assert manifest["rows"] == 40
    assert manifest["digest"] == file_digest(layout.pool)
    assert manifest["shards"] == [[0, 40]]


def test_same_pool_gives_same_bytes(tiny_config):
    prepare_pool(tiny_config)
    first = file_digest(layout_of(tiny_config).pool)
    prepare_pool(tiny_config)
    assert file_digest(layout_of(tiny_config).pool) == first


def test_row_cut_before_its_response_has_no_completion_token(tiny_values, tmp_path):
    rows = [{"prompt": "w1 " * 60, "response": "w2"}, {"prompt": "w1", "response": "w2"}]
    tiny_values["pool"] = {"files": [write_jsonl(tmp_path / "long.jsonl", rows)]}
    config = parse_config(tiny_values)
    prepare_pool(config)
    assert read_pool(layout_of(config).pool)["completion_tokens"] == [0, 2]
    assert read_manifest(layout_of(config).pool_manifest, "pool")["without_completion"] == 1


@pytest.mark.parametrize(("long", "warned"), [(0, None), (1, False), (2, True)])
def test_rows_cut_before_their_last_end_are_counted_and_more_than_one_in_a_hundred_warned_of(tiny_values, tmp_path, capsys, long, warned):
    rows = [{"prompt": f"w{i}", "response": "w1 " * (60 if i < long else 2)} for i in range(100)]
    tiny_values["pool"] = {"files": [write_jsonl(tmp_path / "long.jsonl", rows)]}
    config = parse_config(tiny_values)
    prepare_pool(config)
    said = capsys.readouterr().err
    assert read_manifest(layout_of(config).pool_manifest, "pool")["cut"] == long
    assert (f"{long} of 100 examples ({long}.0%) are cut before their last end token at model.max_length 32" in said) == (
        warned is not None
    )
    assert ("does not learn to end" in said) == bool(warned)


def test_a_row_that_the_tokenizer_cannot_keep_as_text_is_bad(tiny_values, tmp_path):
    rows = [{"id": "a", "prompt": "w1", "response": "w2"}, {"id": "b", "prompt": "say <eos> now", "response": "w2"}]
    tiny_values["pool"] = {"files": [write_jsonl(tmp_path / "rows.jsonl", rows)]}
    with pytest.raises(UserError, match=r"pool: b: a text holds a control token.* \(1 of 2 rows are bad: correct them, or write bad_rows"):
        prepare_pool(parse_config(tiny_values))
    tiny_values["pool"]["bad_rows"] = "skip"
    config = parse_config(tiny_values)
    prepare_pool(config)
    assert read_pool(layout_of(config).pool)["id"] == ["a"]
    reading = read_manifest(layout_of(config).pool_manifest, "pool")["reading"]
    assert (reading["records"], sum(reading["bad_rows"].values())) == (1, 1)


def test_limit_takes_the_first_rows(tiny_values):
    tiny_values["pool"]["limit"], tiny_values["budgets"] = 7, [0.2]
    config = parse_config(tiny_values)
    prepare_pool(config)
    assert len(read_pool(layout_of(config).pool)["id"]) == 7


def read_records(path):
    return read_files([path], AS_IT_IS, Summary())


def test_formats_give_the_same_records(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = [{"id": "a", "prompt": "p", "response": "r", "level": 2}]
    chat = [{"id": "a", "messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}], "level": 2}]
    ultra = [{"id": "a", "instruction": "p", "response": "r", "level": 2}]
    pq.write_table(pa.Table.from_pylist(plain), tmp_path / "pool.parquet")
    files = [write_jsonl(tmp_path / f"{n}" / "pool.jsonl", rows) for n, rows in enumerate((plain, chat, ultra))]
    records = [list(read_records(file)) for file in [*files, tmp_path / "pool.parquet"]]
    assert all(found == records[0] for found in records)
    assert records[0][0].metadata == {"level": 2}


def test_earlier_turns_become_the_prompt(tmp_path):
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (record,) = read_records(write_jsonl(tmp_path / "m.jsonl", [row]))
    assert (record.prompt, record.response) == ("a\n<|assistant|>\nb\n<|user|>\nc", "d")


TURNS = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "a"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"y": 1, "x": "2"}}}],
    },
    {"role": "tool", "content": "3", "name": "f"},
    {"role": "assistant", "content": "b", "weight": 0.5},
]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def test_the_pool_keeps_conversations_as_they_came_and_says_what_it_read(tiny_values, tmp_path, capsys):
    rows = [
        {"instruction": "add", "input": "1 2", "output": "3", "note": "not read"},
        {"messages": TURNS, "tools": TOOLS, "level": 2},
        {"prompt": "p", "response": ""},
        {"prompt": "add\n\n1 2", "response": "3"},
    ]
    write_jsonl(tmp_path / "data" / "b" / "one.jsonl", rows[:3])
    write_jsonl(tmp_path / "data" / "a" / "one.jsonl", rows[3:])
    tiny_values["pool"] = {"files": [str(tmp_path / "data")], "bad_rows": "skip"}
    config = parse_config(tiny_values)
    prepare_pool(config)
    columns = read_pool(config.layout.pool)
    first, second, third = from_columns(columns)
    assert (first.id, second.id, third.id) == ("a/one-0", "b/one-0", "b/one-1")
    assert second.messages == [{"role": "user", "content": "add\n\n1 2"}, {"role": "assistant", "content": "3"}]
    assert columns["prompt"][:2] == ["add\n\n1 2"] * 2, "the input of Alpaca is in the prompt"
    kept = [{name: value for name, value in turn.items() if value is not None} for turn in third.messages]
    assert kept == [{name: value for name, value in turn.items() if value is not None} for turn in TURNS]
    assert list(third.messages[2]["tool_calls"][0]["function"]["arguments"]) == ["y", "x"], "keys stand in their order"
    assert (third.tools, third.metadata) == (TOOLS, {"level": 2})
    assert (columns["prompt"][2].splitlines()[:3], columns["response"][2]) == (["s", "<|user|>", "a"], "b")
    reading = read_manifest(config.layout.pool_manifest, "pool")["reading"]
    assert reading["bad_rows"] == {"the response is empty": 1}
    assert reading["unread"] == {"note": 1}
    assert (reading["rows"], reading["records"], reading["exact_duplicates"]) == (4, 3, 1)
    log = capsys.readouterr().err
    assert "1 rows have text in 'note', which is not read but kept as metadata" in log
    assert "1 rows are left out: the response is empty" in log


def test_own_names_a_form_and_the_removal_of_duplicates_reach_the_reader(tiny_values, tmp_path):
    rows = [{"query": "p", "reply": "r"}, {"query": "p", "reply": "r"}, {"query": "q", "reply": "r"}]
    tiny_values["pool"] = {
        "files": [write_jsonl(tmp_path / "own.jsonl", rows)],
        "format": "prompt",
        "columns": {"prompt": "query", "response": "reply"},
        "deduplicate": "exact",
    }
    config = parse_config(tiny_values)
    prepare_pool(config)
    assert read_pool(config.layout.pool)["prompt"] == ["p", "q"]
    assert read_manifest(config.layout.pool_manifest, "pool")["reading"]["removed"] == [
        {"row": "own-1", "id": "own-1", "kind": "exact", "of": "own-0"}
    ]


def test_line_separators_inside_texts_do_not_cut_lines(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "a\u2028b", "response": "c"}, ensure_ascii=False) + "\n", encoding="utf-8")
    (record,) = read_records(path)
    assert record.prompt == "a\u2028b"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{broken\n", ["p.jsonl:1", "not JSON"]),
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a"}\n', ["p.jsonl:2", "no form fits its fields", "1 of 2 rows are bad"]),
        ('{"prompt": "a", "response": " "}\n', ["p.jsonl:1", "response is empty"]),
        ('{"messages": [{"role": "user", "content": "a"}]}\n', ["p.jsonl:1", "end with an assistant's"]),
        ("[1]\n", ["p.jsonl:1", "not an object"]),
        ('{"id": "x", "prompt": "a", "response": "b"}\n' * 2, ["p.jsonl:2: its id stands before", "'x' at"]),
        ("", ["no example in", "(0 rows)"]),
    ],
)
def test_mistakes_name_the_line(tiny_values, tmp_path, content, words):
    path = tmp_path / "p.jsonl"
    path.write_text(content, encoding="utf-8")
    tiny_values["pool"] = {"files": [str(path)]}
    config = parse_config(tiny_values)
    with pytest.raises(UserError) as error:
        prepare_pool(config)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_more_shards_than_chunks_is_refused_and_no_file_is_left(tiny_values, tmp_path):
    tiny_values["pool"]["shards"] = 2
    with pytest.raises(UserError, match="write at most 1"):
        prepare_pool(parse_config(tiny_values))
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]


@given(rows=st.integers(1, 10**6), share=st.floats(0.001, 1))
def test_shards_cover_the_pool_in_whole_even_chunks(rows, share):
    shards = max(1, int(share * chunk_count(rows)))
    plan = plan_shards(rows, shards)
    assert plan[0][0] == 0
    assert plan[-1][1] == rows
    assert all(stop == start for (_, stop), (start, _) in pairwise(plan))
    assert all(start % CHUNK_ROWS == 0 for start, _ in plan)
    sizes = [chunk_count(stop - start) for start, stop in plan]
    assert max(sizes) - min(sizes) <= 1
