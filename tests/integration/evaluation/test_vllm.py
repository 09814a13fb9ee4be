"""vLLM itself, where it is installed, answers as transformers do."""

import os
import subprocess

import pytest

from helpers.backends import answers, choices, evaluate_all, prepared, session_arguments
from helpers.evaluation_experiment import evaluation_values
from helpers.places import REPOSITORY
from helpers.rows import write_jsonl


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
        line = [interpreter, str(REPOSITORY / "tests/helpers/vllm_session.py"), *session_arguments(config, tmp_path)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr[-4000:]
        both[backend] = answers(config)
    assert both["vllm"] == both["hf"]
