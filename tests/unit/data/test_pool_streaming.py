"""prepare_pool takes rows as they come: the same pool as all rows at once, in memory that does not grow with them."""

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.config_file import parse_config
from equipoise.conversation.forms import FORMS
from equipoise.conversation.reading import Summary
from equipoise.conversation.record import to_columns
from equipoise.data import pool, pool_file
from equipoise.data.pool import RecordsDigest, pool_records, prepare_pool
from equipoise.errors import UserError
from equipoise.modelling.base import load_tokenizer
from equipoise.modelling.chat import encode_conversations
from equipoise.store.manifest import fingerprint, read_manifest
from helpers.rows import write_jsonl

ASKED, SAID = [f"w{i} w{i % 7}" for i in range(40)], [f"w{i % 5} w{i % 3}" for i in range(40)]
SHAPES = {
    "messages": lambda a, b: {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]},
    "sharegpt": lambda a, b: {"conversations": [{"from": "human", "value": a}, {"from": "gpt", "value": b}]},
    "prompt": lambda a, b: {"prompt": a, "response": b},
    "alpaca": lambda a, b: {"instruction": a, "input": "w1", "output": b},
    "question": lambda a, b: {"question": a, "answer": b},
    "openorca": lambda a, b: {"question": a, "response": b},
    "inputs_targets": lambda a, b: {"inputs": a, "targets": b},
    "preference": lambda a, b: {"prompt": a, "chosen": b, "rejected": "w9"},
    "kto": lambda a, b: {"prompt": a, "completion": b, "label": True},
}
NAMED = ("preference", "kto")
"""Forms that are taken only where the configuration names them."""


def rows_of(form: str) -> list[dict]:
    rows = [{"id": f"r{i % 30}", **SHAPES[form](*pair), "note": "kept"} for i, pair in enumerate(zip(ASKED, SAID, strict=True))]
    return [*rows, rows[3], {"id": "bad"}, rows[5]]


@pytest.fixture
def small(monkeypatch):
    """Batches and row groups so small that the pools of these tests have several."""
    monkeypatch.setattr(pool, "TOKENISED_AT_ONCE", 7)
    monkeypatch.setattr(pool_file, "GROUP_ROWS", 16)


def at_once(config) -> pa.Table:
    """The pool as it is when all its records are in memory."""
    records = list(pool_records(config, Summary()))
    turns, tools = [record.messages for record in records], [record.tools for record in records]
    encoded = encode_conversations(load_tokenizer(config.model), turns, config.model.max_length, config.training.last_turn, tools)
    return pa.table(
        {
            "row": pa.array(range(len(records)), pa.int64()),
            "prompt": [record.prompt for record in records],
            "response": [record.response for record in records],
            **{name: pa.array(values, pa.string()) for name, values in to_columns(records).items()},
            "tokens": pa.array([len(each.input_ids) for each in encoded], pa.int32()),
            "completion_tokens": pa.array([each.completion_tokens for each in encoded], pa.int32()),
        }
    )


def configured(values: dict, path: str, form: str, **more):
    values["pool"] = {"files": [path], "bad_rows": "skip", "repeated_ids": "rename", **({"format": form} if form in NAMED else {}), **more}
    return parse_config(values)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_pool_of_all_rows_at_once(tiny_values, tmp_path, monkeypatch, form):
    config = configured(tiny_values, write_jsonl(tmp_path / "rows.jsonl", rows_of(form)), form)
    prepare_pool(config)
    wanted = at_once(config)
    pq.write_table(wanted, tmp_path / "wanted.parquet")
    assert Path(config.layout.pool).read_bytes() == (tmp_path / "wanted.parquet").read_bytes()
    manifest = read_manifest(config.layout.pool_manifest, "pool")
    monkeypatch.setattr(pool, "TOKENISED_AT_ONCE", 7)
    monkeypatch.setattr(pool_file, "GROUP_ROWS", 16)
    prepare_pool(config)
    assert pq.ParquetFile(config.layout.pool).num_row_groups == 3
    assert pq.read_table(config.layout.pool).equals(wanted)
    again = read_manifest(config.layout.pool_manifest, "pool")
    same = ("rows", "sources", "tokens", "completion_tokens", "without_completion", "cut", "reading", "shards")
    assert [again[key] for key in same] == [manifest[key] for key in same]
    reading = again["reading"]
    assert (reading["renamed"], reading["exact_duplicates"], reading["unread"]["note"]) == (12, 2, 42)
    assert (reading["records"], sum(reading["bad_rows"].values())) == (42, 1)


@pytest.mark.parametrize(("kind", "kept"), [("exact", 40), ("near", 40)])
def test_duplicates_that_are_removed_name_the_one_that_stays(tiny_values, tmp_path, small, kind, kept):
    config = configured(tiny_values, write_jsonl(tmp_path / "rows.jsonl", rows_of("prompt")), "prompt", deduplicate=kind)
    prepare_pool(config)
    manifest = read_manifest(config.layout.pool_manifest, "pool")
    assert manifest["rows"] == kept
    named = [(each["id"], each["kind"], each["of"]) for each in manifest["reading"]["removed"]]
    assert named == [("r3", "exact", "r3"), ("r5", "exact", "r5")]


def test_an_id_gets_the_first_number_that_makes_it_another(tiny_values, tmp_path):
    rows = [{"id": name, "prompt": f"w{i}", "response": "w1"} for i, name in enumerate(["a", "a#2", "a", "a", "b", "a", "b"])]
    config = configured(tiny_values, write_jsonl(tmp_path / "rows.jsonl", rows), "prompt")
    assert [record.id for record in pool_records(config, Summary())] == ["a", "a#2", "a#3", "a#4", "b", "a#5", "b#2"]


def test_the_digest_of_records_is_the_fingerprint_of_their_keys(tiny_config):
    records = list(pool_records(tiny_config, Summary()))
    for count in (0, 1, len(records)):
        digest = RecordsDigest()
        for record in records[:count]:
            digest.add(record)
        assert digest.hexdigest() == fingerprint([record.key for record in records[:count]])


def test_a_bad_row_at_the_end_leaves_no_file(tiny_values, tmp_path, small):
    tiny_values["pool"] = {"files": [write_jsonl(tmp_path / "rows.jsonl", [*rows_of("prompt")[:30], {"prompt": "w1"}])]}
    config = parse_config(tiny_values)
    with pytest.raises(UserError, match=r"rows.jsonl:31: .*\(1 of 31 rows are bad"):
        prepare_pool(config)
    assert not Path(config.layout.pool).parent.exists()


def test_memory_does_not_grow_with_the_rows(tiny_values, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "TOKENISED_AT_ONCE", 50)
    monkeypatch.setattr(pool_file, "GROUP_BYTES", 1 << 19)
    peaks = []
    for count in (200, 300, 1200):  # the first warms up what is made once
        text = "x" * 3000  # one word, so that tokens take no time
        rows = [{"id": f"r{i}", "prompt": f"w{i} {text}", "response": text} for i in range(count)]
        config = configured(tiny_values, write_jsonl(tmp_path / f"{count}.jsonl", rows), "prompt")
        del rows
        arrow = pa.default_memory_pool()
        tracemalloc.start()
        try:
            prepare_pool(config)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert arrow.bytes_allocated() < 1 << 22
    kept = 900 * 2 * 3000  # what 900 more rows hold as text, once
    assert peaks[2] - peaks[1] < kept / 4
