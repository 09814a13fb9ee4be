"""Two documents of each benchmark in the form of its data, made up, so that what is said of a benchmark can be tested without its hub.

A new benchmark has its documents in `DOCUMENTS` here (docs/extending.md).
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Documents:
    """leaf: an lm-eval task that evaluates them. rows: as the hub has them. responses: right ones, where the benchmark has none itself."""

    leaf: str
    rows: list[dict[str, Any]]
    responses: list[str] = field(default_factory=list)


def _program(name: str, sign: str) -> dict[str, Any]:
    head = f'def {name}(a, b):\n    """The numbers a {sign} b."""\n'
    test = f"def check(candidate):\n    assert candidate(7, 3) == 7 {sign} 3\n"
    return {"task_id": name, "prompt": head, "canonical_solution": f"    return a {sign} b\n", "test": test, "entry_point": name}


def _problem(number: int, sign: str) -> dict[str, Any]:
    return {
        "task_id": number,
        "text": f"Write a function that puts {sign} between two numbers.",
        "code": f"def put(a, b):\r\n  return a {sign} b",
        "test_list": [f"assert put(7, 3) == 7 {sign} 3"],
        "test_setup_code": "",
        "split": "test",
    }


DOCUMENTS: dict[str, Documents] = {
    "human_eval": Documents("equipoise_human_eval", [_program("put_together", "+"), _program("take_away", "-")]),
    "mbpp": Documents("equipoise_mbpp", [_problem(1, "+"), _problem(2, "-")]),
    "bbh": Documents(
        "equipoise_bbh_boolean_expressions",
        [{"input": "not ( False ) or False is", "target": "True"}, {"input": "True and not True is", "target": "False"}],
    ),
    "mmlu": Documents(
        "mmlu_anatomy",
        [
            {"question": "Which has fingers?", "subject": "anatomy", "choices": ["foot", "hand", "neck", "back"], "answer": 1},
            {"question": "Which has toes?", "subject": "anatomy", "choices": ["foot", "hand", "neck", "back"], "answer": 0},
        ],
    ),
    "gsm_plus": Documents(
        "equipoise_gsm_plus",
        [
            {"question": "Six eggs and two more?", "solution": "6 + 2 = 8\n#### 8", "answer": "8", "seed_question": "Five eggs and two?"},
            {"question": "Half of nine apples?", "solution": "9 / 2 = 4.5\n#### 4.5", "answer": "4.5", "seed_question": "Half of eight?"},
        ],
    ),
    "math": Documents(
        "equipoise_math_algebra",
        [
            {"problem": "Solve $2x = 1$.", "solution": "Halve both: $x = \\boxed{\\frac{1}{2}}$.", "level": "Level 1", "type": "Algebra"},
            {"problem": "Solve $x - 3 = 4$.", "solution": "Add 3: $x = \\boxed{7}$.", "level": "Level 1", "type": "Algebra"},
        ],
    ),
    "ifeval": Documents(
        "ifeval",
        [
            {"key": 1, "prompt": "Name a bird under a title.", "instruction_id_list": ["detectable_format:title"], "kwargs": [{}]},
            {"key": 2, "prompt": "Name a tree under a title.", "instruction_id_list": ["detectable_format:title"], "kwargs": [{}]},
        ],
        ["<<A bird>>\nheron", "<<A tree>>\nalder"],
    ),
}
