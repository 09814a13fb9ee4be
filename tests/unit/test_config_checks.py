"""Combinations of keys that cannot work are refused when the configuration is read, each by one clause (config_checks.py)."""

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.errors import UserError
from helpers.experiment import change
from helpers.places import REPOSITORY

FORMS = ".npy, .zarr, .parquet, .safetensors"
EXTRA = {"selector": "bids", "budget": 0.1, "epochs": 4}
ARGUMENTS = "selector='bids', budget=0.1, epochs=4"
EVALUATED = {"suites": {"chat": {}}, "tasks.first.suite": "chat", "tasks.first.lm_eval_tasks": ["a"]}
KINDS = "write one of .json, .jsonl, .ndjson, .csv, .tsv, .parquet, .arrow, text also with .gz or .zst"
WITH_VLLM = EVALUATED | {"suites": {"chat": {"backend": "vllm"}}}


def refusal(values, *changes):
    """The clauses of the one line in which the changed values are refused; empty when they are accepted."""
    for path, value in changes:
        change(values, path, value)
    try:
        parse_config(values, "c.yaml")
    except UserError as error:
        return str(error).removeprefix("c.yaml: ").split("; ")
    return []


@pytest.mark.parametrize(
    ("changes", "clauses"),
    [
        ({"selectors": ["bids", "sum", "bids"]}, ["selectors: 'bids' is listed 2 times; write it once"]),
        ({"budgets": [0.1, "0.10"]}, ["budgets: 0.1 is listed 2 times; write it once"]),
        ({"budgets": [1, 1.0], "selection.rank_to": 1.0}, []),
        ({"finetune.seeds": [0, 1, 0]}, ["finetune.seeds: 0 is listed 2 times; write it once"]),
        (
            {"finetune.extra": [EXTRA, EXTRA]},
            [f"finetune.extra: ExtraRun({ARGUMENTS}) is listed 2 times; write it once"],
        ),
        ({"tasks.first.files": ["a.jsonl", "a.jsonl"]}, ["tasks.first.files: 'a.jsonl' is listed 2 times; write it once"]),
        ({"training.report_to": ["wandb", "wandb"]}, ["training.report_to: 'wandb' is listed 2 times; write it once"]),
        (EVALUATED | {"tasks.first.lm_eval_tasks": ["a", "a"]}, ["tasks.first.lm_eval_tasks: 'a' is listed 2 times; write it once"]),
        (
            EVALUATED | {"tasks.second.suite": "chat", "tasks.second.lm_eval_tasks": ["b", "a"]},
            ["tasks.second.lm_eval_tasks: a is evaluated for task first already; name it once"],
        ),
        (
            EVALUATED | {"suites": {"chat": {}, "more": {}}, "tasks.second.suite": "more", "tasks.second.lm_eval_tasks": ["a"]},
            [],
        ),
        (
            EVALUATED | {"suites": {"chat": {}, "idle": {}}},
            ["suites.idle: no task is evaluated by it; write `suite: idle` under one of tasks, or leave it out"],
        ),
        (
            {"pool.limit": 1025, "pool.shards": 3},
            ["pool.shards: 3, but the rows of pool.limit: 1025 make 2; write at most 2"],
        ),
        ({"pool.limit": 1025, "pool.shards": 2}, []),
        (
            {"validation": {"estimators": ["ekfac"], "removal": {"tasks": ["third"]}}},
            ["validation.removal.tasks: no task 'third'; write some of first, second"],
        ),
        (
            {"validation": {"estimators": ["ekfac"], "removal": {"only": [0.001]}}, "pool.limit": 100},
            [
                "validation.removal.only: with pool.limit: 100, budget 0.001 of 100 valid rows selects nothing; "
                "write a larger share or a count"
            ],
        ),
        ({"validation": {"removal": {"only": [0.001]}}, "pool.limit": 100}, []),
        (
            {"gradients.projection": {"dimension": "auto"}, "validation.estimators": ["ekfac", "logra", "trak"]},
            ["gradients.projection.dimension: auto, but the halves of trak's rows do not tell its reliability; write a number"],
        ),
        (
            {"gradients.projection": {"kind": "identity", "dimension": "auto"}},
            ["gradients.projection.dimension: auto, but kind: identity keeps every number; leave it out"],
        ),
        (
            {"pool.limit": 100, "budgets": [101], "selection.rank_to": 1.0},
            ["budgets: with pool.limit: 100, budget 101 asks for more than the 100 valid rows; write at most 100"],
        ),
        (
            {"pool.limit": 100, "budgets": [0.001]},
            ["budgets: with pool.limit: 100, budget 0.001 of 100 valid rows selects nothing; write a larger share or a count"],
        ),
        ({"pool.limit": 100, "budgets": [0.001], "selectors": ["full"]}, []),
        (
            {"pool.limit": 100, "selection.rank_to": 200},
            ["selection.rank_to: with pool.limit: 100, budget 200 asks for more than the 100 valid rows; write at most 100"],
        ),
        ({"pool.limit": 100, "budgets": [29], "selection.rank_to": 0.29}, []),
        (
            {"pool.limit": 100, "budgets": [26]},
            ["budgets: 26 goes beyond selection.rank_to = 0.25; raise selection.rank_to to 26"],
        ),
        (
            {"finetune.extra": [EXTRA | {"budget": 0.3}]},
            ["finetune.extra: 0.3 goes beyond selection.rank_to = 0.25; raise selection.rank_to to 0.3"],
        ),
        (
            {"gradients.projection": {"kind": "rademacher", "repeats": 2}},
            ["gradients.projection.repeats: 2 is for kind sketch only; write 1 with rademacher"],
        ),
        (
            {"gradients.projection": {"kind": "identity", "dimension": 64}},
            ["gradients.projection.dimension: 64, but kind: identity keeps every number; leave it out"],
        ),
        ({"gradients.projection": {"kind": "identity"}}, []),
        (
            {"gradients.adam_form": "torch", "gradients.estimator": "logra"},
            ["gradients.adam_form: torch, but logra does not use Adam; leave it out"],
        ),
        ({"gradients.adam_form": "torch"}, []),
        (
            {"warmup.seeds": [0, 1], "gradients.estimator": "matrix", "gradients.matrix.file": "mine.npy"},
            ["warmup.seeds: [0, 1], but matrix collects nothing at their checkpoints; write one seed"],
        ),
        (
            {"selectors": ["s2l", "rds"], "gradients.estimator": "matrix", "gradients.matrix.file": "mine.npy"},
            [
                "selectors: s2l reads losses of every pool row's gradients, and gradients.estimator: matrix leaves no store of them; leave "
                "it out, or write another estimator"
            ],
        ),
        (
            {"selectors": ["gradient_norm"], "gradients.estimator": "matrix", "gradients.matrix.file": "mine.npy"},
            [
                "selectors: gradient_norm reads norms of every pool row's gradients, and gradients.estimator: matrix leaves no store of "
                "them; leave it out, or write another estimator"
            ],
        ),
        (
            {"selectors": ["loss_drop", "gradient_norm"], "gradients.epochs": "last"},
            [
                "selectors: loss_drop follows losses over epochs, and gradients.epochs: last leaves one; leave it out, or keep all of "
                "several epochs"
            ],
        ),
        ({"selectors": ["kcenter", "ifd", "longest"], "gradients.estimator": "matrix", "gradients.matrix.file": "mine.npy"}, []),
        (
            {"gradients.estimator": "matrix"},
            [f"gradients.matrix.file: estimator matrix takes your own scores; write the path of a matrix ({FORMS})"],
        ),
        ({"gradients.estimator": "matrix", "gradients.matrix.file": "mine.npy"}, []),
        ({"gradients.estimator": "matrix", "gradients.matrix.file": "scores"}, []),
        (
            {"gradients.estimator": "matrix", "gradients.matrix.file": "mine.csv"},
            [f"gradients.matrix.file: mine.csv is of no known form; write one of {FORMS}, or a folder of bergson's scores"],
        ),
        (
            {"gradients.matrix.file": "mine.npy"},
            ["gradients.matrix.file: nothing would read it (less computes its matrix); write estimator: matrix"],
        ),
        (WITH_VLLM | {"lora.rank": 513}, ["lora.rank: 513 is more than vLLM's 512; write backend: hf for the suites"]),
        (
            WITH_VLLM | {"lora.target_modules": ["lm_head"]},
            ["lora.target_modules: vLLM scores prompts wrongly under an adapter of lm_head; write backend: hf for the suites"],
        ),
        (EVALUATED | {"lora.rank": 513}, []),
        (
            {"warmup.files": ["a.jsonl", "b.txt"], "pool.files": ["data", "data/*.jsonl", "a.JSONL.gz", "b.csv.zst", "c.parquet.gz"]},
            [f"{key} is of no known kind; {KINDS}" for key in ("pool.files: c.parquet.gz", "warmup.files: b.txt")],
        ),
        ({"tasks.first.files": ["a.md"]}, [f"tasks.first.files: a.md is of no known kind; {KINDS}"]),
        ({"pool.format": "alpca"}, ["pool.format: no 'alpca'; write alpaca"]),
        ({"pool.format": "alpaca", "pool.columns": {"input": "context"}}, []),
        ({"suites": {"mine": {"measure": "loss"}}, "tasks.first.suite": "mine"}, []),
        (
            {"suites": {"mine": {"measure": "both"}}, "tasks.first.suite": "mine"},
            [
                "tasks.first: a task with a suite needs lm_eval_tasks: [name of an lm-eval task]; files of examples are enough for held-"
                "out loss alone (suites.mine.measure: loss)"
            ],
        ),
        (
            {"suites": {"mine": {"measure": "loss", "seeds": [0, 1]}}, "tasks.first.suite": "mine"},
            ["suites.mine.seeds: [0, 1], but held-out loss draws nothing; write one seed, or leave it out"],
        ),
        (
            {"tasks.first.test_files": ["a.jsonl"]},
            ["tasks.first.test_files: nothing would read them (it has no suite); leave them out"],
        ),
        ({"tasks.first.columns": {"promt": "query"}}, ["tasks.first.columns: no 'promt'; write prompt"]),
        ({"pool.columns": {"promt": "query"}}, ["pool.columns: no 'promt'; write prompt"]),
        ({"pool.name": "en"}, ["pool.name: en, but no pool.dataset, whose configuration it would name; leave it out"]),
    ],
)
def test_what_keys_say_together_is_refused_at_the_door(tiny_values, changes, clauses):
    assert "; ".join(refusal(tiny_values, *changes.items())) == "; ".join(clauses)


def test_runs_in_one_process_do_not_train_in_two(tiny_values):
    text = "; ".join(refusal(tiny_values, ("training.processes", 2), ("jobs.runs", "together")))
    assert text == (
        "jobs.runs: together makes all runs in one process, but training.processes is 2; write jobs.runs: separate, "
        "or training.processes: 1"
    )
    assert not refusal(tiny_values, ("jobs.runs", "separate"))


@pytest.mark.parametrize(
    "task",
    [
        {"benchmark": "human_eval", "lm_eval_tasks": ["equipoise_human_eval"]},
        {"benchmark": "mbpp", "lm_eval_tasks": ["equipoise_mbpp"]},
        {"benchmark": "jsonl", "files": ["own.jsonl"], "lm_eval_tasks": ["equipoise_mbpp"]},
    ],
)
def test_programs_are_not_evaluated_without_a_sandbox(tiny_values, task):
    code = {"capability": "coding", "suite": "code", **task}
    text = refusal(tiny_values, ("tasks.programs", code), ("suites", {"code": {}}))[0]
    assert text.startswith("sandbox.mode: off, but tasks.programs has a suite")
    assert not refusal(tiny_values, ("sandbox.mode", "process"))
    assert not refusal(tiny_values, ("sandbox.mode", "off"), ("suites", {}), ("tasks.programs.suite", None)), "in the matrix only"


@pytest.mark.parametrize("name", ["human_eval", "bbh", "gsm_plus", "ifeval"])
def test_leak_free_asks_for_substitutes_where_there_is_only_a_test_set(tiny_values, name):
    task = {"capability": "any", "benchmark": name}
    text = refusal(tiny_values, ("tasks.one", task), ("targets.validation", "leak_free"))[0]
    assert text.startswith(f"tasks.one.substitutes: {name} has no split but its test set")
    assert not refusal(tiny_values, ("tasks.one.substitutes", ["mine.jsonl"]))


@pytest.mark.parametrize("name", ["mbpp", "mmlu", "math"])
def test_substitutes_that_nothing_would_read_are_refused(tiny_values, name):
    task = {"capability": "any", "benchmark": name}
    assert not refusal(tiny_values, ("tasks.one", task), ("targets.validation", "leak_free"))
    text = refusal(tiny_values, ("tasks.one.substitutes", ["mine.jsonl"]))[0]
    assert text.startswith("tasks.one.substitutes: nothing would read them")


def test_ifeval_needs_files_of_responses_and_the_other_benchmarks_read_none(tiny_values):
    text = refusal(tiny_values, ("tasks.one", {"capability": "any", "benchmark": "ifeval"}))
    assert text == ["tasks.one.files: ifeval has no responses of its own", "write files: [path/to/responses.jsonl]"]
    assert not refusal(tiny_values, ("tasks.one.files", ["responses.jsonl"]))
    text = refusal(tiny_values, ("tasks.one.benchmark", "bbh"))[0]
    assert text.startswith("tasks.one.files: nothing would read them (bbh has its own data)")


def test_the_embedded_experiment_reads_the_pool_that_it_generates():
    path = REPOSITORY / "config.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    text = "; ".join(refusal(values, ("miniature.profile", "clean")))
    assert text.startswith("pool.files: resources/miniature/noisy-0/pool.jsonl is not in resources/miniature/clean-0, ")
    assert "write all paths below resources/miniature/clean-0" in text
    values = yaml.safe_load(path.read_text(encoding="utf-8").replace("/noisy-0/", "/clean-0/"))
    assert not refusal(values, ("miniature.profile", "clean"))
    text = refusal(values, ("suites.miniature.include_path", "resources/miniature/noisy-0/lm_eval"))[0]
    assert text.startswith("suites.miniature.include_path: ")


def test_every_mistake_between_keys_is_told_at_once(tiny_values):
    text = "; ".join(refusal(tiny_values, ("training.batch_size", 6), ("selectors", ["oracle"]), ("budgets", [0.3])))
    assert all(key in text for key in ("budgets: 0.3", "selectors: oracle", "training.batch_size: 6")), text
