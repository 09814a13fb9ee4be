"""Answers of MATH, GSM-Plus, HumanEval, MBPP and IFEval in the styles that models write: right ones count, wrong ones do not."""

import pytest

from equipoise.evaluation.grading import gsm_plus_results, math_results
from equipoise.programs import program_of

RIGHT = [
    (r"The answer is $\boxed{42}$.", "42"),
    (r"\[\boxed{\dfrac{3}{4}}\]", r"\frac{3}{4}"),
    (r"$\boxed{0.75}$", r"\frac{3}{4}"),
    (r"**Answer:** $\boxed{12}$ apples", "12"),
    (r"$$\boxed{x=5}$$", "5"),
    (r"$\boxed{5 \text{ cm}}$", "5"),
    (r"$\boxed{5\,\text{cm}}$", "5"),
    (r"$\boxed{\$18.00}$", "18"),
    (r"$\boxed{1{,}250}$", "1250"),
    (r"\boxed{50\%}", r"50\%"),
    (r"\boxed{50}", r"50\%"),
    (r"\boxed{\text{Friday}}", r"\text{Friday}"),
    (r"\boxed{-\frac{1}{2}}", "-0.5"),
    (r"\boxed{2\sqrt{3}}", r"\sqrt{12}"),
    (r"\boxed{[1, 3)}", r"[1,3)"),
    (r"\boxed{(-\infty, 2]}", r"(-\infty,2]"),
    (r"\boxed{\{1,2\}}", r"\{2,1\}"),
    (r"\boxed{90^\circ}", r"90"),
    (r"\boxed{\pi r^2}", r"r^2\pi"),
    (r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"so \boxed{7}. Let me recheck. Yes, \boxed{7}.", "7"),
    (r"\boxed{\text{7 boxes}}", "7"),
    (r"\boxed{A}", "\\text{A}"),
    (r"\boxed{18 dollars}", "18"),
    (r"\boxed{None}", "None"),
]
WRONG = [
    (r"\boxed{43}", "42"),
    (r"\boxed{\frac{4}{3}}", r"\frac{3}{4}"),
    (r"\boxed{0.33}", r"\frac{1}{3}"),
    ("42", "42"),
    (r"The answer is 42.", "42"),
    (r"\boxed{42", "42"),
    (r"\boxed{}", "42"),
    (r"\boxed{42} no wait \boxed{41}", "42"),
    (r"\boxed{-42}", "42"),
    (r"\boxed{4 2}", "42"),
    (r"\boxed{420}", "42"),
    (r"\boxed{42 \text{ or } 43}", "42"),
    (r"\boxed{(1,3]}", r"[1,3)"),
    (r"\boxed{(2,1)}", "(1,2)"),
    (r"\boxed{\{1\}}", r"\{1,2\}"),
    (r"\boxed{x+1}", "x-1"),
    (r"\boxed{\sqrt{2}}", "1.41"),
    (r"\boxed{\text{Monday}}", r"\text{Friday}"),
    (r"\boxed{1250.5}", "1250"),
    (r"\boxed{?}", "42"),
    (r"\boxed{I don't know}", "42"),
    (r"\boxed{\begin{pmatrix}2\\1\end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\boxed{42}{43}, i.e. \boxed{43}", "42"),
]
PROGRAM = "import math\n\n\ndef add(a, b):\n    return a + b"
FENCES = [
    "```python\n{}\n```",
    "```\n{}\n```",
    "```py\n{}\n```",
    "```Python3\n{}\n```",
    "```python \n{}\n```",
    '```python title="solution.py"\n{}\n```',
    "```{{.python}}\n{}\n```",
    "~~~python\n{}\n~~~",
    "```python\n{}",
    "```python\n{}```",
    "Sure! Here is it:\n\n```python\n{}\n```\n\nIt adds `a` and `b`.",
    "First install it:\n```bash\npip install numpy\n```\nThen:\n```python\n{}\n```",
    "The tests are\n```python\nassert add(1, 2) == 3\n```\nand this passes them:\n```python\n{}\n```",
    "```python\n{}\n```\n```python\nprint(add(1, 2))\n```",
    "```python\n{}\n```\nOutput:\n```\n3\n```",
    "```python\n{}\n```\nor shorter\n```python\ndef add(*n): return sum(n)\n```",
    "Use `add`.\n```python\n{}\n```",
    "### Solution\n```python\n{}\n```\n### Complexity\nO(1)",
    "[PYTHON]\n```python\n{}\n```\n[/PYTHON]",
    "{}",
]


@pytest.mark.parametrize("results", [math_results, gsm_plus_results])
@pytest.mark.parametrize(("answer", "gold"), RIGHT)
def test_right_boxes_are_right(results, answer, gold):
    assert results({"answer": gold}, [answer]) == {"exact_match": 1.0}


@pytest.mark.parametrize("results", [math_results, gsm_plus_results])
@pytest.mark.parametrize(("answer", "gold"), WRONG)
def test_wrong_boxes_are_wrong(results, answer, gold):
    assert results({"answer": gold}, [answer]) == {"exact_match": 0.0}


@pytest.mark.parametrize("style", FENCES)
def test_the_program_is_found_in_every_style(style):
    assert program_of(style.format(PROGRAM)).strip() == PROGRAM


def test_an_indented_fence_loses_its_indentation():
    indented = "\n".join(f"   {line}" if line else "" for line in PROGRAM.splitlines())
    assert program_of(f"1. This:\n   ```python\n{indented}\n   ```").strip() == PROGRAM


def test_a_body_alone_keeps_its_indentation():
    assert program_of("```python\n    return a + b\n```") == "    return a + b"


NO_PROGRAMS = [
    "I cannot write that.",
    "",
    "```python\n```",
    "```python\npass\n```",
    "```python\ndef add(a, b):\n    return a - b\n```",
    "```python\ndef add(a, b):\n    print(a + b)\n```",
    "```python\ndef add(a, b)\n    return a + b\n```",
    "```python\ndef add(a, b):\nreturn a + b\n```",
    "```python\ndef add(a, b):\n    ...\n```",
    "```python\ndef add(a, b):\n    # a + b\n```",
    "```python\ndef Add(a, b):\n    return a + b\n```",
    "```python\ndef add(a):\n    return a\n```",
    "```python\nclass Solution:\n    def add(self, a, b):\n        return a + b\n```",
    "```python\nadd = a + b\n```",
    "```python\nassert add(1, 2) == 3\n```",
    "```python\nfrom nowhere_to_be_found import add\n```",
    "```python\ndef add(a, b):\n    return str(a + b)\n```",
    "```python\ndef add(a, b):\n    return [a + b]\n```",
    "```python\ndef add(a, b):\n    return a + c\n```",
    "```python\ndef add(a, b):\n    raise NotImplementedError\n```",
    "```bash\necho $((1 + 2))\n```",
    "```javascript\nfunction add(a, b) { return a + b }\n```",
    f"```python\ndef other(a, b):\n    return 0\n```\n```python\n{PROGRAM}\n```",
    f"```python\n# {PROGRAM[:6]}\n```",
    "`def add(a, b): return a + b`",
    "The function returns the sum of `a` and `b`.",
]


def solves(answer: str) -> bool:
    """Whether the program of an answer, one of those above, adds."""
    names: dict = {}
    try:
        exec(program_of(answer), names)
        return names["add"](1, 2) == 3 and names["add"](-1, 1) == 0
    except Exception:
        return False


@pytest.mark.parametrize("style", FENCES)
def test_a_right_program_solves_in_every_style(style):
    assert solves(style.format(PROGRAM))


@pytest.mark.parametrize("answer", NO_PROGRAMS)
def test_what_is_no_program_or_a_wrong_one_does_not_solve(answer):
    assert not solves(answer)
