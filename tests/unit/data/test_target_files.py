"""Validation examples from a user's files."""

import gzip
import json

import pyarrow.parquet
import pytest

from equipoise.config_file import parse_config
from equipoise.data.encoding import encode_file
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.files import file_digest
from equipoise.gradients.collect import collect_target_gradients
from equipoise.modelling.base import load_tokenizer
from equipoise.store.manifest import read_manifest
from helpers.experiment import write_target
from helpers.gradient_experiment import make_experiment, sentence
from helpers.rows import texts, write_jsonl


def rows_of(config, task):
    return pyarrow.parquet.read_table(config.layout.target(task)).to_pylist()


def test_size_examples_are_drawn_by_seed_and_keep_their_order(tiny_values, tmp_path):
    tiny_values["tasks"]["first"]["files"] = [write_jsonl(tmp_path / "many.jsonl", texts(30))]
    config = parse_config(tiny_values)
    prepare_targets(config, ["first"])
    drawn = rows_of(config, "first")
    assert len(drawn) == 4
    lines = [json.loads(row["origin"])["line"] for row in drawn]
    assert lines == sorted(lines)
    source = texts(30)
    assert [(row["prompt"], row["response"]) for row in drawn] == [(source[n - 1]["prompt"], source[n - 1]["response"]) for n in lines]
    assert all(row["task"] == "first" and row["chat"] for row in drawn)
    prepare_targets(config, ["first"])
    assert rows_of(config, "first") == drawn
    other = parse_config(tiny_values | {"seed": 1})
    prepare_targets(other, ["first"])
    assert rows_of(other, "first") != drawn


def test_the_manifest_vouches_for_the_file(tiny_config):
    prepare_targets(tiny_config, ["first", "second"])
    layout = tiny_config.layout
    for task in ("first", "second"):
        manifest = read_manifest(layout.target_manifest(task), "targets")
        assert manifest["digest"] == file_digest(layout.target(task))
        assert manifest["rows"] == 4
        assert manifest["ids"] == [row["id"] for row in rows_of(tiny_config, task)]
        assert manifest["hashes"] == [row["content_hash"] for row in rows_of(tiny_config, task)]
        assert len(set(manifest["hashes"])) == 4


def test_lines_end_at_line_feeds_only(tiny_values, tmp_path):
    rows = [{"prompt": f"one\u2028two\x85{i}\x0bthree", "response": "w1"} for i in range(4)]
    tiny_values["tasks"]["first"]["files"] = [
        str(write_text(tmp_path / "odd.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in rows)))
    ]
    config = parse_config(tiny_values)
    prepare_targets(config, ["first"])
    assert [row["prompt"] for row in rows_of(config, "first")] == [row["prompt"] for row in rows]


def write_text(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "a", "response": "b"}\n{"prompt": \n', r"bad.jsonl:2: not JSON"),
        ('{"prompt": "a"}\n', r"bad.jsonl:1: no form fits its fields"),
        ('{"prompt": " ", "response": "b"}\n', r"bad.jsonl:1: the prompt is empty"),
        ('["a"]\n', r"bad.jsonl:1: not an object"),
        ('{"prompt": "a", "response": "b"}\n', r"hold 1 examples, fewer than targets.size 4; write targets.size: 1"),
    ],
)
def test_broken_files_are_named_with_their_line(tiny_values, tmp_path, text, message):
    tiny_values["tasks"]["first"]["files"] = [str(write_text(tmp_path / "bad.jsonl", text))]
    with pytest.raises(UserError, match=message):
        prepare_targets(parse_config(tiny_values), ["first"])


def test_missing_files_are_named(tiny_values):
    tiny_values["tasks"]["first"]["files"] = ["nowhere.jsonl"]
    config = parse_config(tiny_values)
    with pytest.raises(UserError, match=r"nowhere.jsonl: no such file"):
        prepare_targets(config, ["first"])


def test_a_prompt_that_fills_the_length_is_refused_and_a_longer_length_for_targets_alone_lets_it_in(tiny_values, tmp_path):
    long = {"id": "long", "prompt": "w1 " * 40, "response": "w2 w3"}
    tiny_values["tasks"]["first"]["files"] = [write_jsonl(tmp_path / "long.jsonl", [*texts(3), long])]
    with pytest.raises(UserError, match=r"tasks.first: the prompt of validation example long has \d+ tokens.* within 32; write a larger"):
        prepare_targets(parse_config(tiny_values), ["first"])
    tiny_values["targets"]["max_length"] = 64
    config = parse_config(tiny_values)
    prepare_targets(config, ["first"])
    layout = config.layout
    tokens = read_manifest(layout.target_manifest("first"), "targets")["tokens"]
    assert [n > 32 for n in tokens] == [False, False, False, True]
    tiny_values["targets"]["max_length"] = tokens[3] - 1
    config = parse_config(tiny_values)
    prepare_targets(config, ["first"])
    cut = read_manifest(layout.target_manifest("first"), "targets")["tokens"]
    assert cut == [*tokens[:3], tokens[3] - 1], "what is cut shows in the manifest, so that the gradients are collected anew"


def test_validation_files_take_every_form_and_keep_conversations_of_several_turns(tiny_values, tmp_path):
    turns = [{"role": role, "content": text} for role, text in (("user", "w1"), ("assistant", "w2"), ("user", "w3"), ("assistant", "w4"))]
    rows = [{"instruction": "w1", "input": "w2", "output": "w3"}, {"messages": turns}, {"question": "w5", "answer": "w6"}]
    path = tmp_path / "first.json"
    path.write_text(json.dumps([*rows, {"id": "given", "prompt": "w7", "response": "w8"}], indent=1))
    tiny_values["tasks"]["first"]["files"] = [str(path)]
    config = parse_config(tiny_values)
    prepare_targets(config, ["first", "second"])
    found = rows_of(config, "first")
    assert [row["prompt"] for row in found] == ["w1\n\nw2", "w1\n<|assistant|>\nw2\n<|user|>\nw3", "w5", "w7"]
    assert [row["messages"] and json.loads(row["messages"]) for row in found] == [None, turns, None, None]
    assert [row["id"] for row in found] == ["first:2", "first:7", "first:27", "given"]
    assert "messages" not in rows_of(config, "second")[0], "files of prompts and responses give the bytes they always gave"
    encoded = encode_file(config.layout.target("first"), load_tokenizer(config.model), 32)
    assert [example.input_ids.count(2) for example in encoded] == [1, 2, 1, 1], "every answer ends"


def test_validation_files_may_have_columns_of_their_own_bad_rows_to_skip_and_be_compressed(tiny_values, tmp_path):
    path = tmp_path / "first.jsonl.gz"
    lines = [json.dumps({"ask": f"w{i}", "say": "w9"} if i != 2 else {"ask": ""}) for i in range(5)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    tiny_values["tasks"]["first"] |= {"files": [str(path)], "columns": {"prompt": "ask", "response": "say"}}
    with pytest.raises(UserError, match=r"first.jsonl.gz:3: .* \(1 of 5 rows are bad"):
        prepare_targets(parse_config(tiny_values), ["first"])
    tiny_values["tasks"]["first"]["bad_rows"] = "skip"
    config = parse_config(tiny_values)
    prepare_targets(config, ["first"])
    assert [row["prompt"] for row in rows_of(config, "first")] == ["w0", "w1", "w3", "w4"]
    assert sum(read_manifest(config.layout.target_manifest("first"), "targets")["reading"]["bad_rows"].values()) == 1


def test_target_gradients_are_those_of_the_length_for_targets(tmp_path):
    long = (sentence(3, 120), sentence(4, 18), True)
    flagged = {}
    for length in (None, 200):
        config = make_experiment(tmp_path / str(length), epochs=1, targets={"max_length": length})
        layout = config.layout
        write_target(config, "alpha", [long, (sentence(1, 12), sentence(2, 12), True)])
        collect_target_gradients(config, [1], ["alpha"])
        flagged[length] = read_manifest(layout.target_gradients_manifest(1, "alpha"), "target_gradients")["flagged"]["no_completion_token"]
    assert flagged == {None: 1, 200: 0}
