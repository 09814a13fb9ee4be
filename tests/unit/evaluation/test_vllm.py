"""`backend: vllm` answers as `backend: hf` does, through a stand-in of its interface."""

import importlib
import sys

import pytest

from equipoise.config_file import parse_config
from equipoise.errors import UserError
from helpers.backends import choices, evaluate_all, prepared
from helpers.evaluation_experiment import evaluation_values
from helpers.places import REPOSITORY


@pytest.fixture(scope="module")
def stand_in():
    """The stand-in as `vllm`, and forgotten afterwards; lm-eval keeps what it imported, so it comes once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "tests/helpers/stub_vllm"))
        yield importlib.import_module("vllm")
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm" or name.endswith(".vllm_model")]:
        del sys.modules[name]


@pytest.fixture
def stub_vllm(stand_in):
    """The stand-in, of which nothing has been asked yet."""
    stand_in.LLM.made.clear()
    stand_in.LLM.asked.clear()
    return stand_in


def test_both_backends_give_the_same_answers_and_choices(tiny_values, tmp_path, stub_vllm):
    values = evaluation_values(tiny_values, tmp_path, test_rows=12)
    choices(tmp_path, "w1", "w2", "w9")
    both = {b: evaluate_all(prepared(values, tmp_path / b, b), tmp_path) for b in ("hf", "vllm")}
    assert both["vllm"] == both["hf"]
    texts = {key: [response for _, response, _ in rows] for key, rows in both["hf"].items()}
    assert texts["zero_shot", "chat", 0] != texts["bids", "chat", 0]
    assert texts["zero_shot", "plain", 0] != texts["bids", "plain", 0]
    assert [made["max_lora_rank"] for made in stub_vllm.LLM.made] == [8]  # one engine for all runs, and room for rank 4


def test_every_answer_of_every_suite_seed_is_sampled_by_a_seed_of_its_own(tiny_values, tmp_path, stub_vllm):
    values = evaluation_values(tiny_values, tmp_path, test_rows=12)
    values["suites"]["chat"] |= {"temperature": 0.7, "seeds": [0, 1]}
    first = evaluate_all(prepared(values, tmp_path / "first", "vllm"), tmp_path)
    seeds = [settings.seed for settings in stub_vllm.LLM.asked if settings.seed is not None]
    assert len(set(seeds)) == len(seeds) / 2 == 24  # of two runs, which share them
    again = evaluate_all(prepared(values, tmp_path / "again", "vllm"), tmp_path)
    assert again == first
    assert first["bids", "chat", 0] != first["bids", "chat", 1]


@pytest.mark.parametrize(
    ("suite", "key"), [({"backend": "vllm"}, "backend: vllm"), ({"python": "other/bin/python"}, "python: other/bin/python")]
)
def test_one_process_for_all_runs_takes_no_other_environment(tiny_values, tmp_path, suite, key):
    values = evaluation_values(tiny_values, tmp_path)
    values["suites"]["chat"] |= suite
    parse_config(values)
    with pytest.raises(UserError, match=f"suites.chat.{key}, but jobs.runs: together .* write jobs.runs: separate"):
        parse_config(values | {"jobs": {"runs": "together"}})
