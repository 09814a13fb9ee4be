"""BBH's closing answers as real models write them: what is right counts, what is wrong or undecided does not."""

from pathlib import Path

import pytest
import yaml

from equipoise.evaluation import grading
from equipoise.evaluation.closing import bbh_results, closing

RIGHT = [
    ("So the answer is (B).", "(B)"),
    ("So the answer is (B)", "(B)"),
    ("The answer is B.", "(B)"),
    ("the answer is **(B)**.", "(B)"),
    ("Therefore, the correct answer is (B) Claire is dancing with Ophelia.", "(B)"),
    ("The answer is: (B)\n\nI hope this helps!", "(B)"),
    ("**Answer:** (B) 12/14/1937", "(B)"),
    ("Answer: B", "(B)"),
    (r"The final answer is $\boxed{\text{(B)}}$.", "(B)"),
    (r"Hence \boxed{B}", "(B)"),
    ("The answer is (A). Wait, that ignores the second swap.\nSo the answer is (B).", "(B)"),
    ("Question of order: Q comes first.\n\nSo the answer is (B).", "(B)"),
    ("The answer is option (B), since the other two are older.", "(B)"),
    ("The answer to the question is (B).", "(B)"),
    ("The answer is\n(B)", "(B)"),
    ("So the answer is False.", "False"),
    ("so the answer is false", "False"),
    ("So the answer is `False`, because not True is False", "False"),
    ("The answer is Yes. He plays basketball.", "yes"),
    ("So the answer is **No**, you do not return.", "No"),
    ("So the answer is invalid.", "invalid"),
    ("So the answer is 24.", "24"),
    ("So the answer is -1,234", "-1234"),
    ("The answer is 3 * 4 - 20 = -8.", "-8"),
    ("So the answer is 9 fruits.", "9"),
    (r"The answer is \(24\).", "24"),
    ("So the answer is ] } >.", "] } >"),
    ("So the answer is ]}>", "] } >"),
    ("So the answer is apple banana cherry.", "apple banana cherry"),
    ('The answer is: "apple, banana, cherry"', "apple banana cherry"),
]
WRONG = [
    ("So the answer is (A).", "(B)"),
    ("The answer is (B). No, the answer is (C).", "(B)"),
    ("It is (B).", "(B)"),
    ("", "(B)"),
    ("The answer is", "(B)"),
    ("The answer is (A) or (B).", "(B)"),
    ("The answer is (B) or (C).", "(B)"),
    ("The answer is B or C.", "(B)"),
    ("The answer is not (B).", "(B)"),
    ("The answer is A person who is (B)ald.", "(A)"),
    ("The answer is Better known later.", "(B)"),
    (r"\boxed{C}", "(B)"),
    ("So the answer is True.", "False"),
    ("So the answer is not False.", "False"),
    ("The answer is yes or no.", "yes"),
    ("The answer is yes/no.", "yes"),
    ("The answer is unclear: no information.", "no"),
    ("So the answer is valid.", "invalid"),
    ("So the answer is not valid.", "valid"),
    ("So the answer is 24.5.", "24"),
    ("So the answer is 24 or 25.", "24"),
    ("So the answer is 124.", "24"),
    ("So the answer is 8.", "-8"),
    ("So the answer is not 24.", "24"),
    ("So the answer is ] }.", "] } >"),
    ("So the answer is > } ].", "] } >"),
    ("So the answer is apple cherry banana.", "apple banana cherry"),
    ("So the answer is apple banana.", "apple banana cherry"),
    ("So the answer is apple banana cherry date.", "apple banana cherry"),
]


PHRASINGS = [
    "So the answer is {}.",
    "so the answer is {}",
    "The answer is: {}",
    "**Answer:** {}",
    "Answer: {}",
    "Therefore, the correct answer is **{}**.",
    "The final answer is {}.\n\nI hope this helps!",
    "The answer is\n{}",
    "The answer is `{}`.",
    'The answer is "{}".',
]
OWN = Path(grading.__file__).parent / "tasks" / "bbh"


@pytest.mark.parametrize(("answer", "target"), RIGHT)
def test_right_answers_are_right(answer, target):
    assert bbh_results({"target": target}, [answer]) == {"exact_match": 1.0}


@pytest.mark.parametrize(("answer", "target"), WRONG)
def test_wrong_answers_are_wrong(answer, target):
    assert bbh_results({"target": target}, [answer]) == {"exact_match": 0.0}


@pytest.mark.parametrize("phrasing", PHRASINGS)
def test_the_answers_of_every_subtask_are_right_in_every_phrasing_and_those_of_its_other_shots_wrong(phrasing):
    for path in sorted(OWN.glob("equipoise_bbh_*.yaml")):
        shots = yaml.safe_load(path.read_text())["fewshot_config"]["samples"]
        targets = [closing(shot["target"]).removesuffix(".") for shot in shots]
        for target in targets:
            scores = {other: bbh_results({"target": target}, [phrasing.format(other)])["exact_match"] for other in targets}
            assert scores == {other: float(other == target) for other in targets}, path.stem


def test_nothing_but_a_new_question_or_the_end_of_a_turn_stops_an_answer():
    settings = yaml.safe_load((OWN / "_equipoise_bbh_yaml").read_text().replace("!function ", ""))["generation_kwargs"]
    assert settings["until"] == ["\nQ:"]
    assert all("generation_kwargs" not in yaml.safe_load(path.read_text()) for path in OWN.glob("equipoise_bbh_*.yaml"))


def test_descriptions_and_shots_are_the_stock_ones():
    """As they are in the lm-eval that is installed: 27 subtasks, each with three shots."""
    import lm_eval

    stock = Path(lm_eval.__file__).parent / "tasks" / "bbh" / "cot_fewshot"
    names = {path.stem for path in stock.glob("[a-z]*.yaml")}
    assert len(names) == 27
    assert {path.stem.removeprefix("equipoise_bbh_") for path in OWN.glob("equipoise_bbh_*.yaml")} == names
    for name in names:
        theirs, ours = (yaml.safe_load(path.read_text()) for path in (stock / f"{name}.yaml", OWN / f"equipoise_bbh_{name}.yaml"))
        assert ours["description"] == theirs["description"]
        assert ours["fewshot_config"] == theirs["fewshot_config"]
        assert len(ours["fewshot_config"]["samples"]) == 3
        for shot in ours["fewshot_config"]["samples"]:
            said = closing(shot["target"])
            assert said, name
            assert bbh_results({"target": said.removesuffix(".")}, [shot["target"]]) == {"exact_match": 1.0}, said
    group = yaml.safe_load((OWN / "equipoise_bbh.yaml").read_text())
    assert set(group["task"]) == {f"equipoise_bbh_{name}" for name in names}
