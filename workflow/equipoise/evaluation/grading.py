"""What our lm-eval task definitions call: data, prompts' parts and per-item results. The YAML files lie under tasks/."""

import ast
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from equipoise.config import Sandbox
from equipoise.evaluation.programs import program_of
from equipoise.evaluation.sandbox import run_program

Doc = dict[str, Any]
VERIFIED_IDS = Path(__file__).parents[1] / "data" / "benchmarks" / "mbpp_verified_ids.json"

OFF = Sandbox(mode="off")
_sandbox: ContextVar[Sandbox] = ContextVar("sandbox", default=OFF)


@contextmanager
def sandboxed(settings: Sandbox) -> Iterator[None]:
    """Inside, programs run under these settings; elsewhere they are refused."""
    token = _sandbox.set(settings)
    try:
        yield
    finally:
        _sandbox.reset(token)


# HumanEval
def human_eval_results(doc: Doc, answers: list[str]) -> dict[str, float]:
    """pass@1 of one problem: its own `check` on the function in the answer, which may be the whole function or its body alone."""
    program = program_of(answers[0])
    head, _, _ = doc["prompt"].rpartition(f"def {doc['entry_point']}")
    program = f"{head}\n{program}" if f"def {doc['entry_point']}" in program else doc["prompt"] + program
    tests = f"{doc['test']}\ncheck({doc['entry_point']})\n"
    verdict = run_program(program, tests, [doc["entry_point"]], _sandbox.get(), prelude=head)
    return {"pass_at_1": float(verdict.passed)}


# MBPP
def load_mbpp(revision: str | None = None, **_: Any) -> dict[str, Any]:
    """The verified problems of all splits as `verified` (field `split` says where from), beside the splits themselves.

    revision: of the hub data set; none: its main branch.
    """
    from datasets import concatenate_datasets, load_dataset

    verified = set(json.loads(VERIFIED_IDS.read_text(encoding="utf-8"))["ids"])
    splits = load_dataset("google-research-datasets/mbpp", "full", revision=revision)
    kept = {
        name: rows.filter(lambda row: row["task_id"] in verified).map(lambda row, name=name: {"split": name})
        for name, rows in splits.items()
    }
    return {**kept, "verified": concatenate_datasets(list(kept.values()))}


def mbpp_results(doc: Doc, answers: list[str]) -> dict[str, float]:
    """pass@1 of one problem: its own assertions on the program in the answer."""
    tests = "\n".join([doc["test_setup_code"], *doc["test_list"]])
    solution = ast.parse(doc["code"].replace("\r", "")).body
    functions = [part.name for part in solution if isinstance(part, ast.FunctionDef)]
    imports = "\n".join(ast.unparse(part) for part in solution if isinstance(part, (ast.Import, ast.ImportFrom)))
    return {"pass_at_1": float(run_program(program_of(answers[0]), tests, functions, _sandbox.get(), prelude=imports).passed)}


# boxed answers
def gsm_plus_results(doc: Doc, answers: list[str]) -> dict[str, float]:
    """Whether the answer's boxed expression equals the gold answer."""
    return {"exact_match": float(boxed_equal(answers[0], doc["answer"]))}


def math_results(doc: Doc, answers: list[str]) -> dict[str, float]:
    """Whether the answer's boxed expression equals the worked solution's."""
    return {"exact_match": float(boxed_equal(answers[0], doc["answer"]))}


def boxed_equal(answer: str, gold: str) -> bool:
    """Whether the last \\boxed{} of an answer is mathematically equal to `gold` (math-verify); False when there is no box."""
    from math_verify import parse, verify

    boxed = last_boxed(answer)
    if boxed is None:
        return False
    if boxed.strip() == gold.strip():
        return True
    return bool(verify(_parsed(gold), parse(f"$\\boxed{{{boxed}}}$")))


@lru_cache(maxsize=65536)
def _parsed(gold: str) -> Any:
    from math_verify import parse

    return parse(f"$\\boxed{{{gold}}}$")


def last_boxed(text: str) -> str | None:
    """The content of the last \\boxed{...} (or \\fbox{...}) with balanced braces."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth = 1
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin:place]
    return None


def with_boxed_answers(rows: Any) -> Any:
    """MATH's rows with the worked solution's boxed expression as `answer`."""
    return rows.map(lambda row: {"answer": last_boxed(row["solution"]) or ""})
