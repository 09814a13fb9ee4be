"""The pool compared with the test items of a whole, small experiment: found, reported, removed."""

import json
import os
import subprocess
import sys

import pyarrow.parquet
import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.data.pool import prepare_pool
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.evaluation.decontaminate import decontaminate
from equipoise.layout import Layout
from equipoise.reporting.catalogue import results
from equipoise.reporting.material import Material
from equipoise.store.manifest import read_manifest
from helpers.evaluation_experiment import evaluation_values
from helpers.loopback import serving
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


def layout_of(config) -> Layout:
    return config.layout


def test_contaminated_rows_are_counted_per_task_and_kept_when_only_reported(values):
    config = parse_config(values)
    with pytest.raises(UserError, match="missing; run the stage that writes it"):
        decontaminate(config)
    prepare_targets(config, list(config.tasks))
    decontaminate(config)
    found = read_manifest(layout_of(config).contamination, "contamination")
    assert found["tasks"]["first"] == {"items": 30, "count": 1, "rows": [4]}
    assert found["tasks"]["second"] == {"items": 30, "count": 0, "rows": []}
    assert (found["rows"], found["found"]) == (20, 1)
    decontaminate(config)
    assert read_manifest(layout_of(config).contamination, "contamination") == found
    prepare_pool(config)
    assert read_manifest(layout_of(config).pool_manifest, "pool")["rows"] == 20
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
    whole = read_manifest(layout_of(config).pool_manifest, "pool")
    config = parse_config(values | {"pool": values["pool"] | {"decontaminate": "remove"}})
    with pytest.raises(UserError, match=r"contamination\.json: missing"):
        prepare_pool(config)
    decontaminate(config)
    prepare_pool(config)
    manifest = read_manifest(layout_of(config).pool_manifest, "pool")
    assert (manifest["rows"], manifest["removed"]) == (19, 1)
    assert manifest["fingerprint"] != whole["fingerprint"]
    pool = pyarrow.parquet.read_table(layout_of(config).pool).to_pydict()
    assert pool["row"] == list(range(19))
    assert not any(LONG.upper() in response for response in pool["response"])
    assert "mixed-4" not in pool["id"]
    assert "1 rows were removed" in Material(config).make("table_contamination").caption


def test_a_search_of_another_pool_is_refused(values, tmp_path):
    config = parse_config(values | {"pool": values["pool"] | {"decontaminate": "remove"}})
    prepare_targets(config, list(config.tasks))
    decontaminate(config)
    write_jsonl(tmp_path / "mixed.jsonl", [{"prompt": f"w7 {i}", "response": "w32"} for i in range(20)])
    with pytest.raises(UserError, match="was made for another pool; run decontaminate again"):
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


SEARCH = """
import sys
from equipoise.config_file import read_config
from equipoise.evaluation.decontaminate import decontaminate
from equipoise.data.targets import prepare_targets
config = read_config(sys.argv[1])
prepare_targets(config, list(config.tasks))
decontaminate(config)
"""
HUB_ITEMS = {
    "human_eval": ("openai/openai_humaneval/test.jsonl", "prompt"),
    "mbpp": ("google-research-datasets/mbpp/full/test.jsonl", "text"),
    "gsm_plus": ("qintongli/GSM-Plus/test.jsonl", "question"),
    "math": ("EleutherAI/hendrycks_math/algebra/test.jsonl", "problem"),
    "bbh": ("SaylorTwift/bbh/navigate/test.jsonl", "input"),
}
PROMPTS = [
    "Write a solution to the following problem and make sure that it passes the tests: w1 w2 w3",
    "You are an expert Python programmer, and here is your task: w4 w5 w6 Your code should pass these tests:",
    "Solve the following math problem step by step. Put your final answer in \\boxed{}. w7 w8 w9",
    "w10 Options: (A) Yes (B) No A: Let's think step by step.",
]


@pytest.mark.slow
@pytest.mark.hub
def test_rows_that_share_only_our_prompts_are_not_found_and_rows_that_share_the_item_are(tiny_values, tmp_path, shared_hub):
    lm_eval_tasks = {"math": "equipoise_math_algebra", "bbh": "bbh_cot_fewshot_navigate"}
    tasks = {
        name: {"capability": "any", "benchmark": name, "suite": "chat", "lm_eval_tasks": [lm_eval_tasks.get(name, f"equipoise_{name}")]}
        for name in HUB_ITEMS
    }
    rows = [{"prompt": prompt, "response": "w0"} for prompt in PROMPTS]
    wanted = {}
    for name, (path, column) in HUB_ITEMS.items():
        items = [json.loads(line) for line in (shared_hub / "datasets" / path).read_text(encoding="utf-8").split("\n") if line]
        longest = sorted((item[column] for item in items), key=len)[-5:]
        wanted[name] = set(range(len(rows), len(rows) + 5))
        rows += [{"prompt": "w1", "response": f"w2 {text} w3"} for text in longest]
    values = tiny_values | {
        "tasks": tasks,
        "suites": {"chat": {}},
        "targets": {"size": 2, "max_length": 8192},
        "sandbox": {"mode": "process"},
        "pool": {"files": [write_jsonl(tmp_path / "mixed.jsonl", rows)], "decontaminate": "report"},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(values))
    with serving(shared_hub) as (address, _):
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf")}
        command = [sys.executable, "-c", SEARCH, str(tmp_path / "experiment.yaml")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = read_manifest(layout_of(parse_config(values)).contamination, "contamination")
    for name, task in found["tasks"].items():
        assert not set(task["rows"]) & set(range(len(PROMPTS))), name
        assert len(set(task["rows"]) & wanted[name]) >= 3, "at most two were drawn for validation and are not compared"


def test_a_definition_says_itself_what_is_looked_for(values, tmp_path):
    definition = tmp_path / "definitions" / "first.yaml"
    text = definition.read_text().replace('doc_to_text: "{{prompt}}"', f'doc_to_text: "{LONG} {{{{prompt}}}}"')
    for query, rows in (("", [4]), ("should_decontaminate: true\ndoc_to_decontamination_query: id\n", [])):
        definition.write_text(text + query)
        config = parse_config(values)
        prepare_targets(config, list(config.tasks))
        decontaminate(config)
        assert read_manifest(layout_of(config).contamination, "contamination")["tasks"]["first"]["rows"] == rows
