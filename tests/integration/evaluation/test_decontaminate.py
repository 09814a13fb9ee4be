"""The pool compared with real test items: our prompts are not found, the items are."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.store.manifest import read_manifest
from helpers.loopback import serving
from helpers.rows import write_jsonl

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
    lm_eval_tasks = {"math": "equipoise_math_algebra", "bbh": "equipoise_bbh_navigate"}
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
    found = read_manifest(parse_config(values).layout.contamination, "contamination")
    for name, task in found["tasks"].items():
        assert not set(task["rows"]) & set(range(len(PROMPTS))), name
        assert len(set(task["rows"]) & wanted[name]) >= 3, "at most two were drawn for validation and are not compared"
