"""IFEval's strict checker on answers in the styles that models write: what follows the instruction counts, what nearly does not."""

import pytest

from helpers.punkt_tab import punkt_tab

WORDS = " ".join(["word"] * 30)
RIGHT = [
    ("keywords:existence", {"keywords": ["river"]}, "The **River** runs."),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "at least"}, "Sea, sea!"),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "A catalogue of dogs."),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "at least"}, "Pizza."),
    ("language:response_language", {"language": "de"}, "Das ist ein ziemlich langer deutscher Satz über das Wetter von morgen."),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "One. Two."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n\n***\n\nTwo."),
    ("length_constraints:number_words", {"num_words": 30, "relation": "at least"}, WORDS),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "hello"},
        "One.\n\nHello there.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name], write to [address]."),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Yours\n\nP.S. Come soon."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "Here:\n* one\n* two\n"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "- one\n- two"),
    ("detectable_format:constrained_response", {}, "My answer is yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and **two**"),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2}, "Section 1\nA\nSection 2\nB"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```'),
    ("detectable_format:json_format", {}, '{"a": [1, 2]}'),
    ("detectable_format:title", {}, "<<A Title>>\ntext"),
    ("combination:two_responses", {}, "First.\n******\nSecond."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it.\nIt."),
    ("startend:end_checker", {"end_phrase": "That is all."}, "Well. That is all.\n"),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "NASA and ESA."),
    ("change_case:english_capital", {}, "THIS IS A LONG ENGLISH SENTENCE ABOUT THE WEATHER OF TOMORROW."),
    ("change_case:english_lowercase", {}, "this is a long english sentence about the weather of tomorrow."),
    ("punctuation:no_comma", {}, "No pause; none at all."),
    ("startend:quotation", {}, '"All of it."'),
]
WRONG = [
    ("keywords:existence", {"keywords": ["river"]}, "The riv er runs."),
    ("keywords:frequency", {"keyword": "sea", "frequency": 3, "relation": "at least"}, "Sea, sea!"),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "No Cat here."),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 3, "let_relation": "at least"}, "Pizza."),
    ("language:response_language", {"language": "de"}, "This is a rather long English sentence about the weather of tomorrow."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "One. Two."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n\nTwo."),
    ("length_constraints:number_words", {"num_words": 31, "relation": "at least"}, WORDS),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "hello"},
        "Hello.\n\nOne there.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name], write to (address)."),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Yours. PS Come soon."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "1. one\n2. two"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two\n* three"),
    ("detectable_format:constrained_response", {}, "Yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and two"),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2}, "Part 1\nA\nPart 2\nB"),
    ("detectable_format:json_format", {}, 'Here it is: {"a": 1}'),
    ("detectable_format:json_format", {}, "{'a': 1}"),
    ("detectable_format:title", {}, "# A Title\ntext"),
    ("combination:two_responses", {}, "First.\n***\nSecond."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "You want me to say it. It."),
    ("startend:end_checker", {"end_phrase": "That is all."}, "That is all. Or not."),
    ("change_case:capital_word_frequency", {"capital_frequency": 3, "capital_relation": "at least"}, "NASA and ESA."),
    ("change_case:english_capital", {}, "THIS IS A LONG ENGLISH SENTENCE ABOUT the WEATHER OF TOMORROW."),
    ("change_case:english_lowercase", {}, "This is a long english sentence about the weather of tomorrow."),
    ("punctuation:no_comma", {}, "A pause, here."),
    ("startend:quotation", {}, 'He said: "all of it."'),
    ("punctuation:no_comma", {}, "   "),
]


@pytest.fixture(scope="module")
def follows(tmp_path_factory):
    """(instruction, its arguments, answer) -> what lm-eval's task scores."""
    with pytest.MonkeyPatch.context() as patch:
        import nltk

        patch.setattr(nltk.data, "path", [punkt_tab(tmp_path_factory.mktemp("nltk"))])
        from lm_eval.tasks.ifeval.utils import process_results

        def score(instruction: str, arguments: dict, answer: str) -> bool:
            doc = {"key": 1, "instruction_id_list": [instruction], "prompt": "Say it.", "kwargs": [arguments]}
            return process_results(doc, [answer])["prompt_level_strict_acc"]

        yield score


@pytest.mark.parametrize(("instruction", "arguments", "answer"), RIGHT)
def test_what_follows_the_instruction_counts(follows, instruction, arguments, answer):
    assert follows(instruction, arguments, answer)


@pytest.mark.parametrize(("instruction", "arguments", "answer"), WRONG)
def test_what_nearly_follows_it_does_not(follows, instruction, arguments, answer):
    assert not follows(instruction, arguments, answer)
