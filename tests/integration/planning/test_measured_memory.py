"""What `plan` says of the host's memory is held to what the stages take on a real base of 135 M parameters, process by process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from equipoise.config_file import read_config
from equipoise.planning.plan import plan
from helpers.real_base import real_base
from helpers.rows import write_jsonl

MOST = 3  # times what is taken: more would ask a cluster for memory that nobody needs
FOLD = ("--selector", "random", "--selection-seed", "0")
STAGES = {
    "prepare_targets": (),
    "prepare_pool": (),
    "check_base": (),
    "warm_up": (),
    "collect_pool_gradients": ("--shard", "0"),
    "collect_target_gradients": (),
    "assemble_attribution": ("--matrix", "influence", "--shard", "0"),
    "seal_attribution": ("--matrix", "influence"),
    "rank": FOLD,
    "select_budget": (*FOLD, "--budget", "0.25"),
    "fine_tune_and_evaluate": FOLD,
}

pytestmark = pytest.mark.nightly


def rows(count: int, first: int) -> list[dict[str, str]]:
    """Pairs of about 150 tokens."""
    each = "Add all of these numbers, one after the other, and say what comes out:"
    numbers = [[(7 * (first + row) + place) % 90 for place in range(40)] for row in range(count)]
    return [{"prompt": f"{each} {', '.join(map(str, some))}", "response": f"The sum is {sum(some)}."} for some in numbers]


def peak(stage: str, options: tuple[str, ...], config: Path) -> int:
    """Bytes that a stage's process holds at its peak."""
    command = [sys.executable, "-m", "equipoise", stage, "--config", str(config), *options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"{stage}: {said[-500:]}"
    return usage.ru_maxrss * 1024


def test_a_stage_takes_no_more_than_the_plan_says_and_not_much_less(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {
        "experiment": "memory",
        "selectors": ["random"],
        "budgets": [0.25],
        "model": {
            "name": "smollm",
            "base": str(real_base()),
            "precision": "fp32",
            "max_length": 256,
            "device": "cpu",
            "chat_template": "own",
        },
        "lora": {"rank": 8, "alpha": 16, "dropout": 0.0},
        "pool": {"files": [write_jsonl(tmp_path / "pool.jsonl", rows(48, 0))]},
        "targets": {"size": 4},
        "tasks": {"sums": {"capability": "math", "files": [write_jsonl(tmp_path / "sums.jsonl", rows(8, 100))], "suite": "held_out"}},
        "suites": {"held_out": {"measure": "loss"}},
        "training": {"batch_size": 8, "micro_batch_size": 4, "learning_rate": 0.001, "report_to": []},
        "warmup": {"epochs": 1},
        "gradients": {"precision": "fp32", "token_budget": 1024, "projection": {"dimension": 256}},
        "finetune": {"epochs": 1, "full_epochs": [1], "seeds": [0]},
        "jobs": {"runs": "together"},
    }
    path = tmp_path / "memory.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    taken = {stage: peak(stage, options, path) for stage, options in STAGES.items()}
    planned = {stage.name: stage.host for stage in plan(read_config(path)).stages if stage.host}
    for stage, held in taken.items():
        print(f"{stage}: {held / 1e9:.2f} GB taken, {planned.get(stage, 0) / 1e9:.2f} GB planned")
    counted = {"prepare_pool", "warm_up", "collect_pool_gradients", "collect_target_gradients", "fine_tune_and_evaluate"}
    assert counted <= set(planned) & set(taken)
    assert {stage: (held, planned[stage]) for stage, held in taken.items() if stage in planned and held > planned[stage]} == {}
    assert {stage: (held, planned[stage]) for stage, held in taken.items() if stage in planned and MOST * held < planned[stage]} == {}
