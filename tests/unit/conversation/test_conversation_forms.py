"""Every form in, its record out, and out again equal; every row that may not be read, and why."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import SHARED
from equipoise.conversation.forms import FORMS
from equipoise.conversation.record import Record, from_columns, to_columns
from equipoise.errors import UserError
from helpers.conversations import PLAIN, assistant, lines, read, system, user
from helpers.row_forms import ASK, BAD, BAD_REQUESTED, CALL, REQUESTED, ROWS, TOOL_TALK, TOOLS


def goes_through_unharmed(record: Record) -> None:
    """Written and read in every way a record is kept."""
    assert Record.from_json(record.to_json()) == record
    table = pa.Table.from_pydict(to_columns([record, record]))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    assert list(from_columns(pq.read_table(pa.BufferReader(sink.getvalue())).to_pydict())) == [record, record]


@pytest.mark.parametrize("name", ROWS)
def test_a_form_becomes_its_record_and_goes_out_again_equal(name, tmp_path):
    row, messages, form, metadata = ROWS[name]
    (record,), summary = read(lines(tmp_path / "pool.jsonl", [row]))
    assert record.messages == messages
    assert record.metadata == metadata
    assert record.tools == (TOOLS if "tools" in row else None)
    assert (record.id, record.source) == ("pool-0", "pool")
    assert summary.forms == {form: 1}
    goes_through_unharmed(record)
    # what goes out as messages comes in equal, and a form named is as one recognised
    out = {"messages": record.messages, "tools": record.tools, "id": record.id, "source": record.source, **record.metadata}
    (again,), _ = read(lines(tmp_path / "again.jsonl", [out]), options=replace(PLAIN, format="messages"))
    assert again == record
    assert again.key == record.key
    assert read(tmp_path / "pool.jsonl", options=replace(PLAIN, format=form))[0] == [record]


def test_every_form_is_read_from_parquet_with_other_rows_as_from_json(tmp_path):
    rows = [
        {"messages": TOOL_TALK, "tools": TOOLS},
        {"messages": [user("p"), assistant(None, tool_calls=[{"type": "function", "function": {"name": "f", "arguments": '{"z": 1}'}}])]},
        {"messages": ASK},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    assert read(tmp_path / "pool.parquet")[0] == read(lines(tmp_path / "pool.jsonl", rows))[0]


def test_arguments_that_arrow_fills_with_null_come_out_as_they_were(tmp_path):
    rows = [
        {"messages": [user("p"), assistant(None, tool_calls=[{"function": {"name": "f", "arguments": arguments}}])]}
        for arguments in ({"a": 1, "deep": {"x": 1}}, {"b": [{"c": 2}, {"d": 3}]})
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    assert [record.messages for record in read(tmp_path / "pool.parquet")[0]] == [row["messages"] for row in rows]


@pytest.mark.parametrize("name", REQUESTED)
def test_the_chosen_answer_is_taken_where_the_form_is_named(name, tmp_path):
    form, row, messages = REQUESTED[name]
    (record,), _ = read(lines(tmp_path / "pool.jsonl", [row]), options=replace(PLAIN, format=form))
    assert record.messages == messages
    goes_through_unharmed(record)


def test_rows_labelled_false_are_left_out_and_counted(tmp_path):
    rows = [{"prompt": f"p{i}", "completion": "r", "label": i % 3 > 0} for i in range(6)]
    records, summary = read(lines(tmp_path / "pool.jsonl", rows), options=replace(PLAIN, format="kto"))
    assert [record.prompt for record in records] == ["p1", "p2", "p4", "p5"]
    assert (summary.not_taken, summary.records, summary.rows) == (2, 4, 6)
    assert "2 rows are left out: their label is false" in summary.lines()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_in_one_line_with_its_place_and_reason(name, tmp_path):
    row, reason = BAD[name]
    with pytest.raises(UserError) as refused:
        read(lines(tmp_path / "pool.jsonl", [{"prompt": "p", "response": "r"}, row]))
    assert f"{tmp_path}/pool.jsonl:2: " in str(refused.value)
    assert reason in str(refused.value)
    assert "1 of 2 rows are bad" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", BAD_REQUESTED)
def test_a_row_that_the_named_form_does_not_fit_is_refused(name, tmp_path):
    form, row, reason = BAD_REQUESTED[name]
    with pytest.raises(UserError, match=r"pool\.jsonl:1: ") as refused:
        read(lines(tmp_path / "pool.jsonl", [row]), options=replace(PLAIN, format=form))
    assert reason in str(refused.value)


def test_columns_give_own_names_to_a_forms_fields(tmp_path):
    rows = [{"query": "p", "reply": "r", "prompt": "another text", "key": 7, "origin": "here"}]
    columns = {"prompt": "query", "response": "reply", "id": "key", "source": "origin"}
    (record,), summary = read(lines(tmp_path / "pool.jsonl", rows), options=replace(PLAIN, columns=columns))
    assert (record.messages, record.id, record.source) == (ASK, "7", "here")
    assert record.metadata == {"prompt (unread)": "another text"}
    assert summary.unread == {"prompt (unread)": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "alpca"}, "format: no 'alpca'; write alpaca"),
        ({"columns": {"promt": "q"}}, "columns: no 'promt'; write prompt"),
        ({"columns": {"zzz": "q"}}, "columns: no 'zzz'; write one of answer, chosen"),
        ({"format": "alpaca", "columns": {"prompt": "q"}}, "columns: no 'prompt'; write one of completion, context"),
    ],
)
def test_an_unknown_form_or_field_is_refused_with_the_nearest(options, words, tmp_path):
    with pytest.raises(UserError) as refused:
        read(lines(tmp_path / "pool.jsonl", [{"prompt": "p", "response": "r"}]), options=replace(PLAIN, **options))
    assert words in str(refused.value)


def test_a_text_that_no_form_reads_is_named_once_with_its_count_and_kept(tmp_path):
    rows = [{"prompt": f"p{i}", "response": "r", "note": "n" * (i > 0), "level": 2, "turns": [{"said": "x"}]} for i in range(3)]
    records, summary = read(lines(tmp_path / "pool.jsonl", rows))
    assert summary.unread == {"note": 2, "turns": 3}
    assert records[1].metadata == {"note": "n", "level": 2, "turns": [{"said": "x"}]}
    assert sum("'note'" in line for line in summary.lines()) == 1


def test_prompt_and_response_are_the_last_assistant_turn_and_what_stands_before_it():
    record = Record("i", "s", [system("s"), user("a"), assistant("b"), user("c"), assistant("d")], None, {})
    assert record.prompt == "s\n<|user|>\na\n<|assistant|>\nb\n<|user|>\nc"
    assert record.response == "d"
    call = Record("i", "s", [user("a"), assistant(None, tool_calls=[CALL])], None, {})
    assert (call.prompt, json.loads(call.response)) == ("a", [CALL])


def test_the_key_is_the_conversations_alone():
    record = Record("i", "s", ASK, None, {"a": 1})
    assert record.key == Record("j", "t", [dict(reversed(message.items())) for message in ASK], None, {}).key
    assert record.key != replace(record, tools=TOOLS).key
    assert record.key != replace(record, messages=[user("p"), assistant("r ")]).key


def test_every_form_has_a_row_here():
    assert {form for _, _, form, _ in ROWS.values()} | {form for form, _, _ in REQUESTED.values()} == set(FORMS)


@pytest.mark.skipif(not (SHARED / "pools").is_dir(), reason="needs the real pools beside the project")
def test_real_pools_go_through_unharmed():
    pools = SHARED / "pools"
    records, summary = read(*sorted(pools.glob("*.json*")), options=replace(PLAIN, bad_rows="skip"))
    assert summary.rows == 999 + 2017 + 300 + 500
    assert summary.bad_rows == {"the response is empty": 2}
    assert not summary.unread
    by_id = {record.id: record for record in records}
    assert len(by_id) == len(records) == summary.records
    for number, row in enumerate(json.loads((pools / "alpaca_en_demo.json").read_text())):
        asked = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        assert by_id[f"alpaca_en_demo-{number}"].messages == [user(asked), assistant(row["output"])]
    for number, row in enumerate(json.loads((pools / "glaive_toolcall_en_demo.json").read_text())):
        record = by_id[f"glaive_toolcall_en_demo-{number}"]
        assert record.tools == (json.loads(row["tools"]) or None)
        for turn, message in zip(row["conversations"], record.messages, strict=True):
            if turn["from"] == "function_call":
                assert [call["function"] for call in message["tool_calls"]] == [json.loads(turn["value"])]
            else:
                assert message == {
                    "role": {"human": "user", "gpt": "assistant", "observation": "tool"}[turn["from"]],
                    "content": turn["value"],
                }
    for record in records:
        assert Record.from_json(record.to_json()) == record
