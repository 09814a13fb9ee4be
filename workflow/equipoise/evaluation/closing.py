"""Closing answers of BBH: what an answer says at its end, in the styles that models write, against the target.

The last "answer is" counts, or the last \\boxed{}. What stands after it is read by the target's kind: an option, a number, a word, a
sequence of brackets, a list of words.
"""

import re
from typing import Any

CLOSING = re.compile(
    r"\banswer(?:[^\S\n]+(?!is\b)[\w()-]+){0,6}?[^\S\n]*(?:\bis\b[^\S\n]*:?|\bwould be\b|[^\S\n]?[:=])|\\boxed(?=\s*\{)", re.I
)
MARKUP = re.compile(r"\\(?:text|mathrm|textbf|mathbf|boxed)\b|\\[()\[\]]|\*\*|__|[`$“”\"]|(?<!\w)'|'(?!\w)")
OPTION = re.compile(r"(?:option|choice|answer)?\s*(?:\(([A-Z])\)|([A-Z])(?=\)|\s*$|\s*[.,:;]|\s+(?:because|since|as|-)\b))")
ANY_OPTION = re.compile(r"\(([A-Z])\)")
OPPOSITES = {"yes": "no", "no": "yes", "true": "false", "false": "true", "valid": "invalid", "invalid": "valid"}
NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


def bbh_results(doc: dict[str, Any], answers: list[str]) -> dict[str, float]:
    """Whether the answer closes with the target."""
    return {"exact_match": float(closes_with(answers[0], doc["target"]))}


def closes_with(answer: str, target: str) -> bool:
    """Whether what an answer says last is `target`; False where it says nothing, or several things."""
    said = closing(answer)
    if said is None:
        return False
    target = target.strip()
    if re.fullmatch(r"\([A-Z]\)", target):
        return _is_option(said, target[1])
    if re.fullmatch(r"-?\d+", target):
        return _is_number(said, int(target))
    if re.fullmatch(r"[\[\](){}<> ]+", target):
        return re.sub(r"[\s.,]", "", said) == target.replace(" ", "")
    said = re.split(r"\.(?:\s|$)", said.lower(), maxsplit=1)[0]
    words, wanted = re.findall(r"[\w'-]+", said), target.lower().split()
    if len(wanted) == 1 and words[:1] == wanted:  # true, no, valid: what follows explains it
        return not {"or", "and", OPPOSITES.get(wanted[0])} & set(words[1:2])
    return words == wanted


def closing(answer: str) -> str | None:
    """What stands after the last "answer is", without markup: the rest of its line, or the next line with something on it."""
    found = list(CLOSING.finditer(answer))
    if not found:
        return None
    lines = [MARKUP.sub(" ", line).strip() for line in answer[found[-1].end() :].splitlines()]
    line = next((line for line in lines if line.strip("{}:*# ")), "")
    if found[-1][0].startswith("\\") or line.startswith("{ ") or re.match(r"\{[^{}]+\}", line):
        line = re.sub(r"^\{\s*\{?([^{}]*)\}?\s*\}", r"\1", line)
    return line.lstrip(":=~ ").strip() or None


def _is_option(said: str, letter: str) -> bool:
    found = OPTION.match(said.strip("{} ")) or OPTION.match(said.strip("{} ").capitalize() if len(said) < 4 else "")
    if found is None:
        return False
    others = set(ANY_OPTION.findall(said)) | set(re.findall(r"\b(?:or|and)\s+\(?([A-Z])\b", said))
    return (found[1] or found[2]) == letter and others <= {letter}


def _is_number(said: str, wanted: int) -> bool:
    said = said.rpartition("=")[2]
    found = [float(number.replace(",", "")) for number in NUMBER.findall(said.replace("−", "-"))]
    return len(set(found)) == 1 and found[0] == wanted and not re.search(r"\bnot\b", said)
