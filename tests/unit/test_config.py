"""Configuration: coercion, one line a mistake, and files in step with the models."""

import difflib
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from equipoise.budgets import budget_label, budget_rows, parse_budget
from equipoise.config_comments import commented_yaml
from equipoise.config_file import json_schema, parse_config, read_config, write_config
from equipoise.errors import UserError
from equipoise.experiment import experiment_runs
from equipoise.layout import Run
from helpers.experiment import change
from helpers.places import REPOSITORY

EXPERIMENTS = sorted((REPOSITORY / "workflow" / "experiments").glob("*.yaml"))


def assert_in_step(path: Path, expected: str, command: str):
    found = path.read_text(encoding="utf-8")
    diff = "\n".join(difflib.unified_diff(found.splitlines(), expected.splitlines(), str(path), "expected", lineterm=""))
    assert not diff, f"stale; run: {command}\n{diff}"


def test_config_yaml_is_in_step_with_the_models():
    path = REPOSITORY / "config.yaml"
    assert_in_step(path, commented_yaml(read_config(path)), "equipoise config comment config.yaml --write")


def test_json_schema_is_in_step_with_the_models():
    path = REPOSITORY / "workflow" / "schemas" / "config.schema.json"
    assert_in_step(path, json_schema(), f"equipoise config schema > {path}")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid(path):
    import jsonschema

    assert experiment_runs(read_config(path))
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json.loads(json_schema()))


def test_commented_yaml_reads_back_as_the_same_experiment(tiny_config):
    assert parse_config(yaml.safe_load(commented_yaml(tiny_config))) == tiny_config


def test_every_field_has_a_description():
    from equipoise.config import Experiment

    def fields(model, path=""):
        for name, field in model.model_fields.items():
            yield f"{path}{name}", field
            from equipoise.config_file import _section_in

            section = _section_in(field.annotation)
            if section:
                yield from fields(section, f"{path}{name}.")

    assert [path for path, field in fields(Experiment) if not field.description] == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("modle", {}, ["modle", "did you mean model?"]),
        ("lora.rnk", 8, ["lora.rnk", "did you mean rank?"]),
        ("tasks.first.capabilty", "x", ["tasks.first.capabilty", "did you mean capability?"]),
        ("lora.rank", "many", ["lora.rank", "integer", "'many'"]),
        ("budgets", [1.5], ["budgets.0", "1.5", "share in (0, 1]"]),
        ("budgets", [0], ["budgets.0", "0", "at least 1"]),
        ("budgets", [0.3], ["budgets", "rank_to"]),
        ("selectors", ["bidz"], ["selectors.0", "'bidz'", "bids"]),
        ("gradients.projection.dimension", 0, ["gradients.projection.dimension", "1"]),
        ("tasks.first.files", [], ["tasks.first.files: jsonl has no examples of its own", "files: ["]),
        ("tasks.first.suite", "nope", ["tasks.first", "suite"]),
        ("pool.files", [], ["pool", "pool.dataset"]),
        ("experiment", "a/b", ["experiment", "pattern"]),
        ("training.batch_size", 6, ["training.batch_size: 6", "not a multiple of micro_batch_size x processes = 4 x 1", "multiple of 4"]),
        ("jobs.threads", {"warmup": 2}, ["jobs.threads.warmup", "'warm_up'"]),
        ("jobs.threads", {"warm_up": 0}, ["jobs.threads.warm_up", "1"]),
        ("finetune.seeds", [0, -1], ["finetune.seeds.1", "0", "-1"]),
        ("selection.seeds", [-1], ["selection.seeds.0"]),
        ("suites", {"mine": {"seeds": [-1]}}, ["suites.mine.seeds.0"]),
        ("finetune.full_epochs", [0], ["finetune.full_epochs.0", "1"]),
        ("finetune.extra", [{"selector": "full", "budget": 0.1, "epochs": 1}], ["finetune.extra: full", "finetune.full_epochs"]),
        ("finetune.extra", [{"selector": "oracle", "budget": 0.1, "epochs": 1}], ["finetune.extra: oracle", "miniature"]),
        ("selectors", ["oracle"], ["selectors: oracle", "miniature", "leave it out"]),
        ("miniature", {}, ["pool.files: ", "is not in resources/miniature/noisy-0", "miniature.profile: noisy"]),
        ("pool.decontaminate", "report", ["pool.decontaminate", "no task names a suite", "write skip"]),
        ("tasks.first.substitutes", ["s.jsonl"], ["tasks.first.substitutes: nothing would read them", "leave them out"]),
    ],
)
def test_a_mistake_is_one_line_with_the_keys_path(tiny_values, path, value, words):
    change(tiny_values, path, value)
    with pytest.raises(UserError) as error:
        parse_config(tiny_values, "c.yaml")
    text = str(error.value)
    assert "\n" not in text
    assert "the file: " not in text
    assert all(word in text for word in words), text


def test_an_effective_configuration_of_any_projection_reads_back(tiny_values, tmp_path):
    change(tiny_values, "gradients.projection", {"kind": "identity"})
    config = parse_config(tiny_values)
    write_config(config, tmp_path / "c.yaml")
    assert read_config(tmp_path / "c.yaml") == config


def test_a_score_is_the_benchmarks_metric_unless_another_is_written(tiny_values):
    change(tiny_values, "tasks.one", {"capability": "any", "benchmark": "mmlu"})
    assert parse_config(tiny_values).tasks["one"].metric == "acc,none"
    change(tiny_values, "tasks.one.metric", "acc_norm,none")
    assert parse_config(tiny_values).tasks["one"].metric == "acc_norm,none"
    assert parse_config(tiny_values).tasks["first"].metric == "exact_match,none"


def test_stages_that_take_threads_are_those_of_the_rules():
    from typing import get_args

    from equipoise.config import StageName

    rules = "".join(file.read_text(encoding="utf-8") for file in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")))
    assert {"default", *re.findall(r'threads_of\("(\w+)"\)', rules)} == set(get_args(StageName))


def test_shares_of_any_size_are_plain_decimals_in_paths(tiny_values):
    change(tiny_values, "budgets", [0.00005, 0.1, 7, 1.0])
    change(tiny_values, "selection.rank_to", 1.0)
    for run in experiment_runs(parse_config(tiny_values)):
        assert re.fullmatch(r"[0-9.]+", run.budget)
        assert Run.parse(run.path) == run
    assert budget_label(0.00005) == "0.00005"


def test_text_from_the_command_line_is_coerced(tiny_values):
    change(tiny_values, "budgets", ["0.05", "500"])
    change(tiny_values, "lora.rank", "16")
    change(tiny_values, "selection.rank_to", "0.5")
    config = parse_config(tiny_values)
    assert config.budgets == [0.05, 500]
    assert config.lora.rank == 16


def test_effective_config_round_trips(tiny_config, tmp_path):
    write_config(tiny_config, tmp_path / "c.yaml")
    assert read_config(tmp_path / "c.yaml") == tiny_config


@pytest.mark.parametrize(
    ("budget", "rows", "expected"), [(0.29, 100, 29), (0.05, 288_579, 14_428), (0.15, 288_579, 43_286), (1, 10, 1), (1.0, 10, 10)]
)
def test_shares_are_exact(budget, rows, expected):
    assert budget_rows(budget, rows) == expected


@pytest.mark.parametrize(("budget", "rows"), [(0.05, 10), (11, 10)])
def test_impossible_budgets_are_refused(budget, rows):
    with pytest.raises(UserError):
        budget_rows(budget, rows)


@given(st.one_of(st.integers(1, 10**9), st.floats(0, 1, exclude_min=True)))
def test_a_budget_label_reads_back(budget):
    assert parse_budget(budget_label(budget)) == budget
    assert re.fullmatch(r"[0-9.]+", budget_label(budget))


def test_runs_cover_the_sweep_once(tiny_config):
    runs = experiment_runs(tiny_config)
    assert len(runs) == len(set(runs))
    random = [run for run in runs if run.selector == "random"]
    assert len(random) == 2 * 2  # budgets x selection seeds
    assert [run.path for run in runs if run.selector == "full"] == ["full/selection-0/budget-1.0/epochs-1/seed-0"]
    assert all(Run.parse(run.path) == run for run in runs)


@pytest.mark.parametrize("targets", ["q_proj", [], ["attention", "q_proj"], 3, [1]], ids=str)
def test_what_gets_an_adapter_is_a_choice_or_a_list_of_names(tiny_values, targets):
    tiny_values["lora"]["target_modules"] = targets
    with pytest.raises(UserError, match=r"^config: lora.target_modules: write attention or all-linear alone, or a list of the names"):
        parse_config(tiny_values)
