"""Snakemake agrees with what determines a result: a flipped key reruns exactly the stages of a finished experiment that it determines."""

import re

import pytest

from equipoise.config_file import parse_config
from equipoise.determinants import READS, determinants
from equipoise.jobs import stages
from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow, evaluated

WITHOUT_EFFECT = {
    "training": {"save_steps": 7, "report_to": ["tensorboard"]},
    "gradients": {"activation_checkpointing": True},
    "sandbox": {"mode": "process"},
    "jobs": {"threads": {"default": 2, "rank": 1}},
    "python": "python3",
}
# One key for every set of stages that a key can determine; keys of one set are told apart in tests/unit/test_determinants.py.
FLIPS = [
    {"seed": 5},
    {"lora": {"rank": 5}},
    {"model": {"max_length": 33}},
    {"model": {"precision": "bf16"}},
    {"pool": {"limit": 39}},
    {"targets": {"max_length": 31}},
    {"training": {"learning_rate": 0.02}},
    {"warmup": {"fraction": 0.5}},
    {"gradients": {"token_budget": 300}},
    {"gradients": {"adam_form": "torch"}},
    {"selection": {"normalisation": "rank"}},
    {"tasks": {"first": {"capability": "other"}}},
    {"tasks": {"first": {"metric": "acc,none"}}},
    {"suites": {"mine": {"batch_size": 3}}},
]


def with_changes(values: dict, changes: dict) -> dict:
    nested = {key: with_changes(values[key], change) for key, change in changes.items() if isinstance(change, dict) and key in values}
    return values | changes | nested


@pytest.fixture
def finished(tiny_values, tmp_path):
    """An experiment whose every output is there by name, and Snakemake's records of how it was made."""
    workflow = Workflow(tmp_path, evaluated(tiny_values))
    for outputs in re.findall(r"    output: (.*)", workflow.run("-n", "--forceall")):
        for name in outputs.split(", "):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("{}")  # a manifest that vouches for nothing
    workflow.run("--touch", "--forceall")
    assert workflow.planned() == {}
    return workflow


def rerun(workflow: Workflow) -> tuple[set[str], set[str]]:
    """Rules that a dry run would run again: those whose parameters have changed, and all. Snakemake gives a job one reason: of one that
    runs again anyway, because its input does, it does not look at the parameters."""
    text = workflow.run("-n")
    changed = re.search(r"params have changed[^\n]*:\n +([^\n]+)", text.split("Reasons:")[-1])
    every = set(re.findall(r"^(\w+) +\d+$", text.split("Job stats:")[-1].split("Reasons:")[0], re.M)) if "Job stats:" in text else set()
    return set(changed[1].split(", ")) if changed else set(), every


@pytest.mark.slow
def test_a_flipped_key_reruns_what_it_determines_and_nothing_else(finished):
    assert Workflow(finished.folder, with_changes(finished.values, WITHOUT_EFFECT)).planned() == {}
    before, wrong = parse_config(finished.values), {}
    for change in FLIPS:
        flipped = Workflow(finished.folder, with_changes(finished.values, change))
        after = parse_config(flipped.values)
        expected = {stage for stage in READS if determinants(before, stage, names=True) != determinants(after, stage, names=True)}
        expected &= {stage.name for stage in stages(after)}  # others are not in this experiment
        changed, every = rerun(flipped)
        if not changed or not changed <= expected <= every:
            wrong[str(change)] = (changed, expected, every)
    assert wrong == {}


def test_rules_take_nothing_of_the_configuration_but_what_determines_their_results():
    """Parameters are determinants, the paths and names that make a command, and what says which jobs there are."""
    allowed = {"determined", "evaluated", "config", "run", "runs", "suites", "epochs", "tasks", "names", "shards", "part"} | {
        "estimator",
        "estimators",
        "training",
    }
    for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")):
        for block in re.findall(r"^ +params:\n((?: +\w+=.*\n)+)", file.read_text(encoding="utf-8"), re.M):
            assert set(re.findall(r"^ +(\w+)=", block, re.M)) <= allowed, file
