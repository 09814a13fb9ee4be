"""The pool compared with the test items of a whole, small experiment: found, reported, removed."""

import json

import pyarrow.parquet
import pytest
import yaml
from typer.testing import CliRunner

from equipoise.commands.attribution_stages import app
from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.evaluation.decontaminate import decontaminate
from equipoise.reporting.catalogue import results
from equipoise.reporting.material import Material
from equipoise.store.manifest import read_manifest
from helpers.evaluation_experiment import evaluation_values
from helpers.rows import write_jsonl

LONG = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13"


@pytest.fixture
def values(tiny_values, tmp_path) -> dict:
    """20 pool rows, of which row 4 shares 13 words with a test item of `first`, and row 9 one word fewer."""
    values = evaluation_values(tiny_values, tmp_path)
    test = [json.loads(line) for line in (tmp_path / "first-test.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "first-test.jsonl", [test[0] | {"prompt": f"w20 {LONG} ?"}, *test[1:]])
    pool = [{"prompt": f"w30 w31 {i}", "response": "w32"} for i in range(20)]
    pool[4] = {"prompt": "w33 w34", "response": f"W0 {LONG.upper()} !"}
    pool[9] = {"prompt": LONG[: len(LONG) - 4], "response": "w5"}
    values["pool"] = {"files": [write_jsonl(tmp_path / "mixed.jsonl", pool)], "decontaminate": "report"}
    return values


def test_contaminated_rows_are_counted_per_task_and_kept_when_only_reported(values, tmp_path):
    config = parse_config(values)
    with pytest.raises(UserError, match="missing; run the stage that writes it"):
        decontaminate(config)
    prepare_targets(config, list(config.tasks))
    decontaminate(config)
    found = read_manifest(config.layout.contamination, "contamination")
    assert found["tasks"]["first"] == {"items": 30, "count": 1, "rows": [4]}
    assert found["tasks"]["second"] == {"items": 30, "count": 0, "rows": []}
    assert (found["rows"], found["found"]) == (20, 1)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    told = json.loads(CliRunner().invoke(app, ["decontaminate", "--config", str(tmp_path / "experiment.yaml"), "--json"]).stdout)
    assert read_manifest(config.layout.contamination, "contamination") == found
    assert (told["rows"], told["found"], told["tasks"]) == (20, 1, found["tasks"])
    prepare_pool(config)
    assert read_manifest(config.layout.pool_manifest, "pool")["rows"] == 20
    table = Material(config).make("table_contamination")
    assert list(table.frame["label"]) == ["first", "second", "any task"]
    assert list(table.frame["found"]) == [1, 0, 1]
    assert list(table.frame["share"]) == [5.0, 0.0, 5.0]
    assert "None was removed" in table.caption
    assert "table_contamination" in {result.name for result in results(config)}


def test_removed_rows_are_in_no_pool_and_the_manifest_says_so(values):
    config = parse_config(values)
    prepare_targets(config, list(config.tasks))
    prepare_pool(config)
    whole = read_manifest(config.layout.pool_manifest, "pool")
    config = parse_config(values | {"pool": values["pool"] | {"decontaminate": "remove"}})
    with pytest.raises(UserError, match=r"contamination\.json: missing"):
        prepare_pool(config)
    decontaminate(config)
    prepare_pool(config)
    manifest = read_manifest(config.layout.pool_manifest, "pool")
    assert (manifest["rows"], manifest["removed"]) == (19, 1)
    assert manifest["fingerprint"] != whole["fingerprint"]
    pool = pyarrow.parquet.read_table(config.layout.pool).to_pydict()
    assert pool["row"] == list(range(19))
    assert not any(LONG.upper() in response for response in pool["response"])
    assert "mixed-4" not in pool["id"]
    assert "1 rows were removed" in Material(config).make("table_contamination").caption


def test_a_search_of_another_pool_is_refused(values, tmp_path):
    config = parse_config(values | {"pool": values["pool"] | {"decontaminate": "remove"}})
    prepare_targets(config, list(config.tasks))
    decontaminate(config)
    write_jsonl(tmp_path / "mixed.jsonl", [{"prompt": f"w7 {i}", "response": "w32"} for i in range(20)])
    with pytest.raises(UserError, match="was made from the experiment's files as they were before; run decontaminate again"):
        prepare_pool(config)


def test_a_pool_of_nothing_but_test_items_is_refused(values, tmp_path):
    values["pool"] = {"files": [write_jsonl(tmp_path / "leaked.jsonl", [{"prompt": LONG, "response": "w32"}])], "decontaminate": "remove"}
    config = parse_config(values)
    prepare_targets(config, list(config.tasks))
    decontaminate(config)
    with pytest.raises(UserError, match="every row shares words with a test item"):
        prepare_pool(config)


def test_nothing_to_compare_with_is_said_when_the_configuration_is_read(tiny_values):
    tiny_values["pool"]["decontaminate"] = "report"
    with pytest.raises(UserError, match=r"pool\.decontaminate: no task names a suite"):
        parse_config(tiny_values)


def test_a_definition_says_itself_what_is_looked_for(values, tmp_path):
    definition = tmp_path / "definitions" / "first.yaml"
    text = definition.read_text().replace('doc_to_text: "{{prompt}}"', f'doc_to_text: "{LONG} {{{{prompt}}}}"')
    for query, rows in (("", [4]), ("should_decontaminate: true\ndoc_to_decontamination_query: id\n", [])):
        definition.write_text(text + query)
        config = parse_config(values)
        prepare_targets(config, list(config.tasks))
        decontaminate(config)
        assert read_manifest(config.layout.contamination, "contamination")["tasks"]["first"]["rows"] == rows
