"""Reading programs and boxed expressions out of answers, and whether an expression equals the gold answer."""

import pytest

from equipoise.errors import UserError
from equipoise.evaluation.grading import boxed_equal, gsm_plus_results, last_boxed, math_results, with_boxed_answers
from equipoise.programs import fenced, program_of

PROGRAM = "def add(a, b):\n    return a + b"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so $\boxed{5}$.", "5"),
        (r"$\boxed{\frac{1}{2}}$ and more", r"\frac{1}{2}"),
        (r"first $\boxed{1}$, no: $\boxed{2}$", "2"),
        (r"\fbox{7}", "7"),
        (r"\boxed{3} or \fbox{4}", "4"),
        (r"$\boxed 5$ dollars", "5"),
        (r"$x = \boxed 12$", "12"),
        (r"\(\boxed\frac{1}{2}\) at last", r"\frac{1}{2}"),
        (r"$\boxed {\text{(A)}}$", r"\text{(A)}"),
        (r"$\boxed{\left\{1, 2\right.}$", r"\left\{1, 2\right."),
        ("\\boxed{a\nb}", "a\nb"),
        ("\\boxed 5\nis what was asked", "5"),
        ("no box at all", None),
        (r"$\boxed{1}$ and cut off: \boxed{\frac{1}{2", None),
        (r"\boxed{}", None),
        (r"ends in \boxed", None),
        (r"\boxedsomething{5}", None),
    ],
)
def test_the_last_box_is_read_with_or_without_braces(text, content):
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        (r"\boxed{0.5}", r"\frac12", True),
        (r"\boxed{1/2}", r"\frac{1}{2}", True),
        (r"\boxed 5", "5.0", True),
        (r"\boxed{1 + x^2}", "x^2+1", True),
        (r"\boxed{(1, 2)}", r"\left(1,2\right)", True),
        (r"\boxed{1,000}", "1000", True),
        (r"\boxed{A}", r"\text{(A)}", True),
        (r"\boxed{None}", "None", True),
        (r"\boxed{5}", "None", False),
        (r"\boxed{6}", "5", False),
        (r"\boxed{-12}", "12", False),
        (r"\boxed{(2, 1)}", r"\left(1,2\right)", False),
        (r"first \boxed{5}, then \boxed{6}", "5", False),
        ("the answer is 5", "5", False),
        (r"\boxed{}", "", False),
        ("", "", False),
    ],
)
def test_boxed_expressions_are_compared_as_mathematics(answer, gold, equal):
    assert boxed_equal(answer, gold) is equal
    for results in (gsm_plus_results, math_results):
        assert results({"answer": gold}, [answer]) == {"exact_match": float(equal)}


def test_every_math_row_has_an_answer_to_grade_against():
    from datasets import Dataset

    rows = Dataset.from_list([{"problem": "2 + 3?", "solution": r"It is $\boxed 5$."}, {"problem": "1?", "solution": r"$\boxed{1}$"}])
    assert with_boxed_answers(rows)["answer"] == ["5", "1"]
    with pytest.raises(UserError, match=r"hendrycks_math: row 0 \('Why\?'\) has a solution without \\boxed\{\}"):
        with_boxed_answers(Dataset.from_list([{"problem": "Why?", "solution": "Because."}]))


@pytest.mark.parametrize(
    "answer",
    [
        PROGRAM,
        f"```python\n{PROGRAM}\n```",
        f"Here it is:\n```Python3 \n{PROGRAM}\n```\nand how to call it:\n```python\nadd(1, 2)\n```",
        f"```\n{PROGRAM}",
        f"```python\r\n{PROGRAM}\r\n```",
        fenced(f"\n{PROGRAM}\n".replace("\n", "\r\n")),
    ],
    ids=["bare", "fenced", "first of two fences", "cut off", "carriage returns", "our own fence"],
)
def test_the_program_is_the_first_fence_closed_or_not_or_the_whole_answer(answer):
    assert program_of(answer).strip("\r") == PROGRAM
