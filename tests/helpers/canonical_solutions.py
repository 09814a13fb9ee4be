"""Runs in a process of its own, with HF_ENDPOINT set: the canonical solutions of HumanEval and MBPP through the checker, as JSON.

`python canonical_solutions.py human_eval|mbpp MODE...`
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from equipoise.config import Sandbox
from equipoise.evaluation.grading import human_eval_results, load_mbpp, mbpp_results, sandboxed
from equipoise.programs import fenced


def human_eval():
    from datasets import load_dataset

    for doc in load_dataset("openai/openai_humaneval", split="test"):
        yield doc["task_id"], human_eval_results, doc, [fenced(doc["prompt"] + doc["canonical_solution"])]


def mbpp():
    for doc in load_mbpp()["verified"]:
        yield doc["task_id"], mbpp_results, doc, [fenced(doc["code"])]


def main() -> None:
    benchmark, *modes = sys.argv[1:]
    rows, results = list({"human_eval": human_eval, "mbpp": mbpp}[benchmark]()), {}
    for mode in modes:
        with ThreadPoolExecutor(2) as pool:
            solved = list(pool.map(partial(_passes, mode), rows))
        results[mode] = {"solved": len(rows), "failed": [name for (name, *_), right in zip(rows, solved, strict=True) if not right]}
    print(json.dumps(results))


def _passes(mode, row):
    _, results, doc, answers = row
    with sandboxed(Sandbox(mode=mode)):
        return results(doc, answers) == {"pass_at_1": 1.0}


if __name__ == "__main__":
    main()
