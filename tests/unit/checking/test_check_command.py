"""`equipoise check`: configuration, base and lm-eval tasks, before a job starts."""

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.errors import UserError
from equipoise.process import THREAD_VARIABLES
from helpers.evaluation_experiment import evaluation_values


@pytest.fixture
def check(tiny_values, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", *THREAD_VARIABLES):
        monkeypatch.setenv(name, "1")  # the command sets them; put back afterwards

    def run(values):
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump(values))
        return CliRunner().invoke(app, ["check", str(path)])

    return run


def test_a_sound_experiment_is_valid_and_leaves_nothing(check, tiny_values, tmp_path):
    done = check(evaluation_values(tiny_values, tmp_path))
    assert done.exit_code == 0, done.exception
    assert "valid; LlamaForCausalLM, attention sdpa, adapter: model.layers.*.self_attn.k_proj in 2 layers" in done.stdout
    assert not (tmp_path / "results").exists()


def test_what_only_tasks_or_the_base_can_tell_is_refused(check, tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    values["tasks"]["first"]["metric"] = "acc,none"
    done = check(values)
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith("tasks.first.metric: tiny_first does not report 'acc,none'")
    values["model"]["max_length"] = 16384
    assert str(check(values).exception).startswith("model.max_length: 16384, but ")
    values["model"]["base"] = "none/such"
    assert "model.base: cannot load 'none/such'" in str(check(values).exception)


def test_what_the_pool_loses_is_told_and_what_cannot_stay_text_is_refused(check, tiny_values, tmp_path):
    from helpers.rows import write_jsonl

    values = evaluation_values(tiny_values, tmp_path)
    rows = [{"prompt": "w1", "response": "w2 " * 60}, {"prompt": "w1", "response": "w2"}]
    values["pool"] = {"files": [write_jsonl(tmp_path / "long.jsonl", rows)]}
    assert "1 of 2 examples (50.0%) are cut before their last end token at model.max_length 32" in check(values).stdout
    values["pool"] = {"files": [write_jsonl(tmp_path / "bad.jsonl", [*rows, {"prompt": "say <eos> now", "response": "w2"}])]}
    assert "a text holds a control token" in str(check(values).exception)


def test_own_scores_are_held_to_pool_and_validation_examples(check, tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    values["gradients"] = {"estimator": "matrix", "matrix": {"file": str(tmp_path / "scores.npy")}}
    assert "scores.npy: no such file" in str(check(values).exception)
    for rows, columns, message in ((41, 8, "has 41 rows, the pool 40"), (40, 9, "has 9 columns, and there are 8 validation examples")):
        np.save(tmp_path / "scores.npy", np.ones((rows, columns), np.float32))
        assert message in str(check(values).exception)
    np.save(tmp_path / "scores.npy", np.ones((40, 8), np.float32))
    done = check(values)
    assert done.exit_code == 0, done.exception
    assert "scores.npy: held to the pool; names neither rows nor columns" in done.stdout
    assert not (tmp_path / "results").exists()
