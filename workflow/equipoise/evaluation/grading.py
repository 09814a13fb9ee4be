"""What our lm-eval task definitions call: data, prompts' parts and per-item results. The YAML files lie under tasks/."""

import ast
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from equipoise.config import Sandbox
from equipoise.errors import UserError
from equipoise.evaluation.sandbox import run_program
from equipoise.programs import program_of

Doc = dict[str, Any]
VERIFIED_IDS = Path(__file__).parents[1] / "benchmarks" / "mbpp_verified_ids.json"

BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""Braces, and what a backslash escapes, which is none."""
END_OF_FORMULA = re.compile(r"\$|\\[)\]]|\n")
PLAIN_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
WITH_UNIT = re.compile(
    r"(-?\d[\d,]*(?:\.\d+)?)(?:\s*\\?%|\s+(?!or\b|and\b|hundred|thousand|million|billion|dozen)[A-Za-z]{2,}(?: [A-Za-z]+)*)?\.?"
)

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
    if boxed == gold.strip():
        return True
    if verify(_parsed(gold), parse(f"$\\boxed{{{boxed}}}$")):
        return True
    plain, wanted = _without_unit(boxed), gold.replace("\\%", "").replace("%", "").strip()
    return bool(PLAIN_NUMBER.fullmatch(wanted)) and plain is not None and bool(verify(_parsed(wanted), _parsed(plain)))


def _without_unit(boxed: str) -> str | None:
    """The number of `18 dollars`, `\\text{7 boxes}` or `50\\%`, units that math-verify does not know; None for anything else."""
    found = WITH_UNIT.fullmatch(re.sub(r"\\(?:text|mathrm)\{([^{}]*)\}", r" \1", boxed).strip())
    return found[1] if found else None


@lru_cache(maxsize=65536)
def _parsed(gold: str) -> Any:
    from math_verify import parse

    return parse(f"$\\boxed{{{gold}}}$")


def last_boxed(text: str) -> str | None:
    """The content of the last \\boxed{...} or \\fbox{...} with balanced braces; of one without (\\boxed 5) the rest of its formula.

    None where there is none, or where it is empty or never closed.
    """
    boxes = list(BOX.finditer(text))
    if not boxes:
        return None
    begin = boxes[-1].end()
    if not text.startswith("{", begin):
        return END_OF_FORMULA.split(text[begin:], maxsplit=1)[0].strip() or None
    depth = 0
    for brace in BRACE.finditer(text, begin):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return text[begin + 1 : brace.start()].strip() or None
    return None


def with_boxed_answers(rows: Any) -> Any:
    """MATH's rows with the worked solution's boxed expression as `answer`. Raises `UserError` for a solution without one."""

    def boxed(row: Doc, place: int) -> Doc:
        answer = last_boxed(row["solution"])
        if answer is None:
            raise UserError(
                f"EleutherAI/hendrycks_math: row {place} ({row['problem'][:60]!r}) has a solution without \\boxed{{}}: no answer to grade "
                "against; choose other items or another revision"
            )
        return {"answer": answer}

    return rows.map(boxed, with_indices=True)
