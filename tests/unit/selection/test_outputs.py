"""`explain` and `export`: what a user sees of a selection, and what trainers read."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from equipoise import cli
from equipoise.attribution.seal import attribute
from equipoise.conversation.reading import AS_IT_IS, Summary, read_files
from equipoise.errors import UserError
from equipoise.layout import Run
from equipoise.selection.explain import explain, side_by_side
from equipoise.selection.export import export
from equipoise.selection.rank import rank
from equipoise.selection.select_budget import select_budget
from equipoise.selection.selection_file import find_selection
from helpers.attribution_experiment import conversation, prepare


@pytest.fixture(scope="module")
def selected(tmp_path_factory):
    prepared = prepare(tmp_path_factory.mktemp("selected"), rows=1100, flagged=(7,))
    attribute(prepared.config, ["influence"])
    for name in ("bids", "random"):
        rank(prepared.config, name, 0)
        select_budget(prepared.config, name, 0, "0.05")
    return prepared


def lines(selected, name="bids"):
    with open(selected.layout.selection(name, 0, "0.05"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_attribute_makes_the_matrices_the_selectors_need_and_repeats_nothing(tmp_path, capsys):
    prepared = prepare(tmp_path, rows=1100)
    prepared.config.selectors = ["bids", "rds"]
    attribute(prepared.config)
    assert capsys.readouterr().err.count("assembling the matrix") == 2
    attribute(prepared.config)
    log = capsys.readouterr().err
    assert log.count("nothing to do") == 2
    assert "assembling" not in log
    with pytest.raises(UserError, match="write one of influence, last_token, position_weighted"):
        attribute(prepared.config, ["rds"])


def test_explain_shows_the_record_beside_the_example_that_asked_for_it(selected):
    line = lines(selected)[3]
    shown = explain(selected.layout.selection("bids", 0, "0.05"), line["id"], 100)
    assert f"{line['id']} (row {line['row']}, source s): rank 3" in shown
    assert f"asked for by {line['validation_id']} (column {line['column']}) of task {line['task']}" in shown
    assert f"strongest for: {', '.join(line['top_tasks'])}" in shown
    prompts = next(text for text in shown.splitlines() if text.startswith(f"prompt {line['row']} "))
    assert prompts.endswith(f"| question {line['validation_id']}")
    assert max(map(len, shown.splitlines())) <= 100


def test_explain_finds_the_selection_of_a_run_and_rows_by_number(selected, capsys, monkeypatch):
    run = Run("bids", 0, "0.05", 2, 1)
    assert str(find_selection(selected.layout.run(run))) == selected.layout.selection("bids", 0, "0.05")
    line = lines(selected)[0]
    monkeypatch.setattr(sys, "argv", ["equipoise", "explain", selected.layout.run(run), "--row", str(line["row"])])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert f"{line['id']} (row" in capsys.readouterr().out


def test_explain_finds_the_examples_of_another_estimators_selection(selected):
    """It lies below the folder of what is compared, the validation examples above it."""
    own = Path(selected.layout.selection("bids", 0, "0.05"))
    other = own.parents[3] / "estimators" / "ekfac" / "selection" / "bids" / "selection-0"
    shutil.copytree(own.parent, other)
    number = str(lines(selected)[3]["row"])
    assert explain(other / own.name, number, 100) == explain(own, number, 100)


def test_explain_says_so_when_no_example_asked(selected):
    shown = explain(selected.layout.selection("random", 0, "0.05"), lines(selected, "random")[0]["id"], 100)
    assert "no validation example asked for it" in shown


def test_explain_refuses_rows_that_were_not_selected_and_folders_without_selection(selected, tmp_path):
    with pytest.raises(UserError, match="no pick with id or row 'id7'"):
        explain(selected.layout.selection("bids", 0, "0.05"), "id7", 100)
    with pytest.raises(UserError, match="neither a selection file nor a run's folder"):
        explain(tmp_path, "id7", 100)
    with pytest.raises(UserError, match=r"budget-0\.3\.jsonl: missing"):
        explain(selected.layout.run(Run("bids", 0, "0.3", 2, 1)), "id7", 100)


def test_side_by_side_wraps_both_texts_and_keeps_their_lines():
    shown = side_by_side("one two three four five six\nseven", "a\n\nb", 43)
    assert shown == ["one two three four   | a", "five six             |", "seven                | b"]


def test_exports_hold_the_conversation_and_where_it_came_from(selected, tmp_path):
    path = selected.layout.selection("bids", 0, "0.05")
    picked = lines(selected)
    for form, output in (("jsonl", tmp_path / "s.jsonl"), ("parquet", tmp_path / "s.parquet"), ("huggingface", tmp_path / "folder")):
        assert export(path, form, output) == len(picked) == 54
        kind, source = {"jsonl": ("json", output), "parquet": ("parquet", output), "huggingface": (str(output), None)}[form]
        data = load_dataset(kind, data_files=str(source) if source else None, split="train", cache_dir=str(tmp_path / "cache"))
        assert [dict(m) for m in data[0]["messages"]] == conversation(picked[0]["row"])
        assert data["row"][:] == [line["row"] for line in picked]
        assert data["id"][:] == [line["id"] for line in picked]
    assert pq.read_schema(tmp_path / "s.parquet").field("score").type == "double"


def test_an_export_of_unscored_picks_has_the_same_columns(selected, tmp_path):
    export(selected.layout.selection("random", 0, "0.05"), "parquet", tmp_path / "random.parquet")
    export(selected.layout.selection("bids", 0, "0.05"), "parquet", tmp_path / "bids.parquet")
    assert pq.read_schema(tmp_path / "random.parquet") == pq.read_schema(tmp_path / "bids.parquet")


CALLS = [
    {"role": "user", "content": "add"},
    {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"y": 1, "x": [2]}}}]},
    {"role": "tool", "content": "3", "name": "f"},
    {"role": "assistant", "content": "3", "weight": 0.5},
]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def test_selections_and_exports_keep_tool_calls_further_keys_and_tools(tmp_path):
    odd = [json.dumps(CALLS) if i % 2 else json.dumps(conversation(i)) for i in range(1100)]
    tools = [json.dumps(TOOLS) if i % 2 else None for i in range(1100)]
    prepared = prepare(tmp_path, rows=1100, columns={"messages": odd, "tools": tools})
    attribute(prepared.config, ["influence"])
    rank(prepared.config, "bids", 0)
    select_budget(prepared.config, "bids", 0, "0.05")
    picked = lines(prepared)
    assert {line["row"] % 2 for line in picked} == {0, 1}
    for line in picked:
        assert line["messages"] == (CALLS if line["row"] % 2 else conversation(line["row"]))
        assert line.get("tools") == (TOOLS if line["row"] % 2 else None)
        assert ("tools" in line) == line["row"] % 2
    path = prepared.layout.selection("bids", 0, "0.05")
    for form, output in (("jsonl", "s.jsonl"), ("parquet", "s.parquet"), ("huggingface", "folder")):
        export(path, form, tmp_path / output)
        records = list(read_files([tmp_path / output], AS_IT_IS, Summary()))
        assert [(record.id, record.conversation) for record in records] == [
            (line["id"], {key: line[key] for key in ("messages", "tools") if key in line}) for line in picked
        ]
    data = load_dataset(str(tmp_path / "folder"), split="train", cache_dir=str(tmp_path / "cache"))
    assert data["messages"][:] == [line["messages"] for line in picked]
    line = next(line for line in picked if line["row"] % 2)
    shown = explain(path, line["id"], 200)
    assert '"arguments":{"x":[2],"y":1}' in shown
    assert "[tools]" in shown


def test_picks_of_an_own_matrix_become_messages_with_the_pools_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("m.npy", np.random.default_rng(0).standard_normal((50, 2)).astype("f4"))
    (tmp_path / "tasks.json").write_text('["a", "b"]')
    records = [{"instruction": f"prompt {i}", "output": f"response {i}"} for i in range(50)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["equipoise", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code

    assert call("select", "m.npy", "--tasks", "tasks.json", "--selector", "bids", "--budget", "0.1", "--output", "picks.jsonl") == 0
    assert call("export", "picks.jsonl", "--output", "train.jsonl") == 2
    assert call("export", "picks.jsonl", "--pool", "pool.jsonl", "--output", "train.jsonl") == 0
    written = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [line["messages"] for line in written] == [conversation(line["row"]) for line in written]
    assert len(written) == 5


def test_exports_refuse_what_they_cannot_write(selected, tmp_path):
    path = selected.layout.selection("bids", 0, "0.05")
    with pytest.raises(UserError, match="write one of jsonl, parquet, huggingface"):
        export(path, "csv", tmp_path / "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    with pytest.raises(UserError, match="exists already"):
        export(path, "huggingface", tmp_path / "full")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no pick"):
        export(tmp_path / "empty.jsonl", "jsonl", tmp_path / "x")
    (tmp_path / "picks.jsonl").write_text('{"row": 3}\n')
    (tmp_path / "pool.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    with pytest.raises(UserError, match="has no row 3"):
        export(tmp_path / "picks.jsonl", "jsonl", tmp_path / "x", tmp_path / "pool.jsonl")
