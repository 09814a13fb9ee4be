"""The seven benchmarks' own data, from a hub on loopback: validation sets, hold-outs, and the prompts and targets of the evaluation."""

import json
import os
import subprocess
import sys

import pytest

from helpers.loopback import serving
from helpers.places import REPOSITORY, SHARED
from helpers.punkt_tab import punkt_tab

pytestmark = [pytest.mark.hub, pytest.mark.slow]
CHECKS = REPOSITORY / "tests/helpers/benchmark_checks.py"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Environment of a process that finds the hub's data; the server ends with the module."""
    if not (SHARED / "hub" / "serve.py").exists():
        pytest.skip(f"no loopback hub at {SHARED / 'hub'}")
    with serving(SHARED / "hub") as (address, _):
        yield {
            **os.environ,
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path_factory.mktemp("hf")),
            "NLTK_DATA": punkt_tab(tmp_path_factory.mktemp("nltk")),
            "PYTHONPATH": str(REPOSITORY / "tests"),
            "responses": str(SHARED / "hub" / "ifeval_responses.jsonl"),
        }


def answers(hub, folder, *mode) -> dict:
    done = subprocess.run(
        [sys.executable, str(CHECKS), hub["responses"], str(folder), *mode],
        env=hub,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def paper(hub, tmp_path_factory) -> dict:
    return answers(hub, tmp_path_factory.mktemp("paper"))


def test_no_validation_item_is_evaluated(paper):
    for name, found in paper.items():
        assert found["rows"] == 8, name
        assert found["leaked"] == 0, name
        assert found["sorted"], name
        assert found["repeatable"], name
        assert found["commits"], name


def test_as_many_items_stay_as_the_benchmark_has_less_the_validation_examples(paper):
    assert paper["human_eval"]["evaluated"] == 164 - 8
    assert paper["mbpp"]["evaluated"] == 399 - 8
    assert paper["ifeval"]["evaluated"] == 541 - 8
    assert paper["bbh"]["evaluated"] == 2 * 40 - 8
    assert paper["math"]["evaluated"] == 2 * 60 - 8
    assert paper["mmlu"]["splits"] == ["validation"]
    assert paper["mmlu"]["evaluated"] == 2 * 20
    for name in ("gsm_plus", "stock_gsm_plus"):
        assert paper[name]["families left"] == 0
        assert paper[name]["evaluated"] <= 600 - 8 * 5


def test_examples_are_spread_over_the_leaf_tasks(paper):
    assert [paper[name]["leaves"] for name in ("bbh", "mmlu", "math")] == [2, 2, 2]


def test_the_response_of_every_validation_example_is_what_the_evaluation_counts_as_right(paper):
    # stock gsm_plus looks for a number and cannot read the answer `None` of its unanswerable questions; our definition can
    for name in ("human_eval", "mbpp", "bbh", "gsm_plus", "math", "ifeval", "stock_math"):
        assert paper[name]["scores"] == [1.0] * 8, name


def test_prompts_are_those_of_the_evaluation(paper):
    assert all(found["same tokens"] for found in paper.values())
    assert paper["mmlu"]["chat"] == [False]
    assert paper["mmlu"]["prompt"].count("Answer:") == 6
    assert paper["mmlu"]["response"] in (" A", " B", " C", " D")
    assert paper["bbh"]["prompt"].count("Q: ") == 4
    assert paper["bbh"]["response"].startswith("So the answer is ")
    assert "\\boxed{}" in paper["gsm_plus"]["prompt"]
    assert "\\boxed{" in paper["gsm_plus"]["response"]
    assert paper["stock_gsm_plus"]["prompt"].count("Question:") == 6
    assert "#### " in paper["stock_gsm_plus"]["response"]


def test_any_lm_eval_task_serves_by_name(paper):
    assert paper["any_math"]["splits"] == ["train"]
    assert paper["any_math"]["evaluated"] <= paper["any_math"]["in all"]
    assert sum(paper["any_math"]["scores"]) >= 7, "its own target, which its own metric does not always read"
    assert paper["any_mmlu"]["splits"] == ["validation"]
    assert paper["any_mmlu"]["response"] in (" A", " B", " C", " D")
    assert paper["any_mmlu"]["prompt"].count("Answer:") == 6


def test_leak_free_takes_other_splits_or_substitutes(hub, tmp_path):
    found = answers(hub, tmp_path, "leak_free")
    assert found["mbpp"]["splits"] == ["validation"]
    assert set(found["mbpp"]["evaluated splits"]) == {"test"}
    assert found["mbpp"]["evaluated"] == 239
    assert found["mmlu"]["splits"] == ["validation"]
    assert found["math"]["splits"] == ["train"]
    assert all(found[name]["leaked"] == 0 for name in ("mbpp", "mmlu", "math"))
    for name, evaluated in (("human_eval", 164), ("bbh", 2 * 40), ("gsm_plus", 600), ("ifeval", 541)):
        substituted = found[f"{name} with substitutes"]
        assert substituted["responses"] == [f"answer {i}" for i in range(8)], name
        assert substituted["evaluated"] == evaluated - 1, "the test item that stands among the substitutes is left out, and no other"
        assert substituted["leaked"] == 0
