"""The paper's two experiments with nothing but sizes changed: seven real benchmarks from hub id to score, offline after the fetch."""

import csv
import json

import pytest
import yaml

from helpers import warm
from helpers.loopback import serving
from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow

MODELS = {"llama3-8b": "meta-llama/Meta-Llama-3-8B", "mistral-7b-v0.3": "mistralai/Mistral-7B-v0.3"}
# Everything that differs from workflow/experiments/<name>.yaml: how much, how long, how often, and where it runs.
SIZES = {
    "results": "results",
    "budgets": [0.1],
    "selectors": ["bids"],
    "model": {"device": "cpu"},
    "pool": {"limit": 64, "shards": 1},
    "targets": {"size": 8},
    "training": {"processes": 1, "batch_size": 16, "micro_batch_size": 4},
    "warmup": {"epochs": 1},
    "gradients": {"projection": {"dimension": 256}},
    "finetune": {"epochs": 1, "seeds": [0], "extra": [], "zero_shot": False},
    "suites": {
        "code": {"limit": 2, "max_new_tokens": 16},
        "reasoning": {"limit": 1, "max_new_tokens": 4},
        "knowledge": {"limit": 1},
        "math": {"limit": 2, "max_new_tokens": 16},
        "instructions": {"limit": 2, "max_new_tokens": 16, "seeds": [0]},
    },
    "jobs": {"epochs": "together", "tasks": "together", "runs": "together"},
}


def resized(values: dict, sizes: dict) -> dict:
    """`values` with the keys of `sizes` put over them, section by section."""
    return {
        key: resized(values.get(key, {}), sizes[key]) if isinstance(sizes.get(key), dict) else sizes.get(key, values.get(key))
        for key in dict.fromkeys([*values, *sizes])
    }


def experiment(name: str, responses) -> dict:
    values = resized(yaml.safe_load((REPOSITORY / "workflow" / "experiments" / f"{name}.yaml").read_text(encoding="utf-8")), SIZES)
    values["tasks"]["ifeval"]["files"] = [str(responses)]
    return values


def lines(path) -> list[dict]:
    # at line feeds only: texts hold U+2028 and the like
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.slow
@pytest.mark.hub
@pytest.mark.parametrize("name", ["llama3-8b", pytest.param("mistral-7b-v0.3", marks=pytest.mark.nightly)])
def test_a_model_scores_on_all_seven_benchmarks_offline_after_the_fetch(shared_hub, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-cache"))
    with serving(shared_hub) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        python = warm.offline_stages(warm.STOCK_TASKS)
        workflow = Workflow(tmp_path, experiment(name, shared_hub / "ifeval_responses.jsonl"), python)
        workflow.run(f"results/{name}/fetch.json")
    with python:
        workflow.run()
    check(tmp_path / "results" / name, workflow.values, MODELS[name])


def check(root, values: dict, base: str) -> None:
    fetched = json.loads((root / "fetch.json").read_text(encoding="utf-8"))
    assert fetched["base"]["id"] == base
    assert all(len(commit) == 40 for leaves in fetched["tasks"].values() for commits in leaves.values() for commit in commits)
    model = root / values["model"]["name"]
    manifests = {task: json.loads((model / "targets" / task / "manifest.json").read_text(encoding="utf-8")) for task in values["tasks"]}
    with open(root / "report" / "scores.csv", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    assert [row["task"] for row in scores if row["selector"] == "bids"] == list(values["tasks"])
    assert len(values["tasks"]) == 7
    samples = [sample for path in model.glob("runs/bids/**/*.samples.jsonl") for sample in lines(path)]
    for task, manifest in manifests.items():
        asked = [sample for sample in samples if sample["task"] == task]
        assert asked, task
        assert manifest["rows"] == values["targets"]["size"]
        for sample in asked:
            assert sample["doc_id"] not in manifest["holdout"].get(sample["lm_eval_task"], [])
            assert sample["content_hash"] not in manifest["hashes"]
    assert len({sample["lm_eval_task"] for sample in samples if sample["task"] == "bbh"}) == 27
    assert len({sample["lm_eval_task"] for sample in samples if sample["task"] == "mmlu"}) == 57
    check_prompts(model, samples)
    log = next(model.parents[2].glob(f"logs/fine_tune_and_evaluate/{root.name}/*/bids/selection-0.log")).read_text(encoding="utf-8")
    assert "WARNING: suite code runs programs written by a language model on this machine (sandbox.mode: " in log
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    assert all(task in page for task in values["tasks"])


def check_prompts(model, samples: list[dict]) -> None:
    """Validation examples of a subtask, spread over the subtasks, have the very description and shots that lm-eval sends for it."""
    import pyarrow.parquet as pq

    for task, question in (("bbh", "Q: "), ("mmlu", "\n\n")):
        sent = {sample["lm_eval_task"]: sample["prompt"] for sample in samples if sample["task"] == task}
        examples = pq.read_table(model / "targets" / task / "validation.parquet").to_pylist()
        leaves = [json.loads(example["origin"])["lm_eval_task"] for example in examples]
        assert len(set(leaves)) == len(leaves) == SIZES["targets"]["size"]
        for leaf, example in zip(leaves, examples, strict=True):
            shots = example["prompt"].rpartition(question)[0]
            assert len(shots) > 200
            assert sent[leaf].split("<|user|>\n")[-1].startswith(shots)
