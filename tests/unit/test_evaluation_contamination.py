"""The pool compared with the test items of a whole, small experiment."""

import json
from pathlib import Path

import pytest
from evaluation_experiment import evaluation_values

from conftest import write_jsonl
from equipoise.config_file import parse_config
from equipoise.data.decontaminate import contamination_path, decontaminate
from equipoise.data.pool import prepare_pool
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.store.manifest import read_manifest


def test_contaminated_pool_rows_are_counted_per_task(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    long = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13"
    test = [json.loads(line) for line in (tmp_path / "first-test.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "first-test.jsonl", [test[0] | {"prompt": f"w20 {long} ?"}, *test[1:]])
    pool = [{"prompt": f"w30 w31 {i}", "response": "w32"} for i in range(20)]
    pool[4] = {"prompt": "w33 w34", "response": f"W0 {long.upper()} !"}
    pool[9] = {"prompt": long[: len(long) - 4], "response": "w5"}
    values["pool"]["files"] = [write_jsonl(tmp_path / "mixed.jsonl", pool)]
    config = parse_config(values)
    with pytest.raises(UserError, match="missing; run the stage that writes it"):
        decontaminate(config)
    prepare_pool(config)
    prepare_targets(config, list(config.tasks))
    decontaminate(config)
    found = read_manifest(contamination_path(config), "contamination")["tasks"]
    assert found["first"] == {"items": 30, "count": 1, "rows": [4]}
    assert found["second"] == {"items": 30, "count": 0, "rows": []}
    first = Path(contamination_path(config)).read_bytes()
    decontaminate(config)
    assert Path(contamination_path(config)).read_bytes() == first
