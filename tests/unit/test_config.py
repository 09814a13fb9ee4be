"""Configuration: coercion, one line a mistake, and files in step with the models."""

import difflib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conftest import REPOSITORY
from equipoise.budgets import budget_label, budget_rows, parse_budget
from equipoise.config_comments import commented_yaml
from equipoise.config_file import json_schema, parse_config, read_config, write_config
from equipoise.errors import UserError
from equipoise.layout import Run
from equipoise.runs import experiment_runs

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


def change(values, path, value):
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


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
        ("tasks.first.files", [], ["tasks.first", "no data", "files: ["]),
        ("tasks.first.suite", "nope", ["tasks.first", "suite"]),
        ("pool.files", [], ["pool", "pool.dataset"]),
        ("experiment", "a/b", ["experiment", "pattern"]),
    ],
)
def test_a_mistake_is_one_line_with_the_keys_path(tiny_values, path, value, words):
    change(tiny_values, path, value)
    with pytest.raises(UserError) as error:
        parse_config(tiny_values, "c.yaml")
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


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


def test_runs_cover_the_sweep_once(tiny_config):
    runs = experiment_runs(tiny_config)
    assert len(runs) == len(set(runs))
    random = [run for run in runs if run.selector == "random"]
    assert len(random) == 2 * 2  # budgets x selection seeds
    assert [run.path for run in runs if run.selector == "full"] == ["full/selection-0/budget-1.0/epochs-1/seed-0"]
    assert all(Run.parse(run.path) == run for run in runs)
