"""`backend: vllm` answers as `backend: hf` does: through a stand-in of its interface, and through vLLM itself where it is installed."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.layout import Run
from helpers.evaluation_experiment import evaluation_values, make_adapter
from helpers.places import REPOSITORY
from helpers.rows import write_jsonl
from helpers.vllm_session import main as evaluate_in_one_session

ZERO, TUNED = Run("zero_shot", 0, "1.0", 0, 0), Run("bids", 0, "0.1", 1, 0)
HELPERS = REPOSITORY / "tests/helpers"


@pytest.fixture(scope="module")
def stand_in():
    """The stand-in as `vllm`, and forgotten afterwards; lm-eval keeps what it imported, so it comes once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HELPERS / "stub_vllm"))
        yield importlib.import_module("vllm")
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm" or name.endswith(".vllm_model")]:
        del sys.modules[name]


@pytest.fixture
def stub_vllm(stand_in):
    """The stand-in, of which nothing has been asked yet."""
    stand_in.LLM.made.clear()
    stand_in.LLM.asked.clear()
    return stand_in


def with_backend(values: dict, backend: str, results: Path) -> dict:
    suites = {name: {**suite, "backend": backend} for name, suite in values["suites"].items()}
    return {**values, "suites": suites, "results": str(results)}


def choices(folder: Path, *texts: str) -> None:
    """Gives the multiple-choice task other choices: of one length, the model's taste decides."""
    definition = folder / "definitions" / "second.yaml"
    definition.write_text(definition.read_text().replace('["w1", "w2 w3", "w4"]', json.dumps(texts)))


def prepared(values: dict, results: Path, backend: str):
    """An experiment with its validation sets and an adapter of `TUNED`, ready for evaluation."""
    config = parse_config(with_backend(values, backend, results))
    prepare_targets(config, list(config.tasks))
    make_adapter(config, TUNED, 1)
    return config


def answers(config) -> dict[tuple[str, str, int], list[tuple]]:
    """(prompt, response, score) of every item by selector, suite and suite seed."""
    layout = config.layout
    found = {}
    for run in (ZERO, TUNED):
        for name, suite in config.suites.items():
            for seed in suite.seeds:
                rows = [json.loads(line) for line in Path(layout.samples(run, name, seed)).read_text().splitlines()]
                found[run.selector, name, seed] = [(row["prompt"], row["response"], row["score"]) for row in rows]
    return found


def session_arguments(config, folder: Path) -> list[str]:
    path = folder / f"{Path(config.results).name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return [str(path), *(",".join(map(str, vars(run).values())) for run in (ZERO, TUNED))]


def evaluate_all(config, folder: Path) -> dict[tuple[str, str, int], list[tuple]]:
    path, *runs = session_arguments(config, folder)
    evaluate_in_one_session(path, runs)
    return answers(config)


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


@pytest.mark.slow
def test_vllm_itself_gives_the_answers_of_transformers(tiny_values, tmp_path):
    """On the miniature's base; greedy answers and choices of base and adapter, and samples at a temperature twice."""
    interpreter = os.environ.get("EQUIPOISE_VLLM_PYTHON")
    if not interpreter:
        pytest.skip("EQUIPOISE_VLLM_PYTHON names no interpreter with envs/vllm-requirements.txt")
    values = evaluation_values(tiny_values, tmp_path)
    values["model"] |= {"base": str(REPOSITORY / "workflow/equipoise/miniature/base"), "max_length": 64}
    asked = ["food of boliru", "metal of tovuka", "color of gepate", "metal of boliru", "food of tovuka", "color of boliru"]
    rows = [{"prompt": f"question : what is the {thing} ? answer :", "response": "corn", "answer": i % 3} for i, thing in enumerate(asked)]
    for task in ("first", "second"):
        write_jsonl(tmp_path / f"{task}-test.jsonl", rows)
    choices(tmp_path, "corn", "zinc", "gold")
    values["suites"]["chat"]["max_new_tokens"] = 12
    both = {}
    for backend in ("hf", "vllm"):
        config = prepared(values, tmp_path / backend, backend)
        if backend == "hf":
            both[backend] = evaluate_all(config, tmp_path)
            continue
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow"), "VLLM_CPU_KVCACHE_SPACE": "1"}
        line = [interpreter, str(HELPERS / "vllm_session.py"), *session_arguments(config, tmp_path)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr[-4000:]
        both[backend] = answers(config)
    assert both["vllm"] == both["hf"]
