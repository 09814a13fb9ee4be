"""Runs of words that two texts share: the check of GPT-3 and its successors for test items among other texts."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

GRAM = 13
WORD = re.compile(r"\w+", re.UNICODE)


def grams(text: str, size: int = GRAM) -> set[str]:
    """Every run of `size` words, in lower case and without punctuation; a shorter text has none."""
    return set(_runs(WORD.findall(text.lower()), size))


def sharing(texts: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text shares a gram with one of `texts`, words aside that are the prompt around them: grams that more than half have."""
    listed = list(texts)
    counts = Counter(gram for text in listed for gram in grams(text))
    around = {gram for gram, count in counts.items() if count > max(1, len(listed) / 2)}
    telling = {gram for text in listed for gram in _without(around, text)}
    return lambda text: not telling.isdisjoint(_without(around, text))


def _runs(words: list[str], size: int) -> list[str]:
    return [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]


def _without(around: set[str], text: str) -> set[str]:
    """The grams of what is left of a text without the words of `around`, none of them across a gap."""
    words = WORD.findall(text.lower())
    covered = {place for start, gram in enumerate(_runs(words, GRAM)) if gram in around for place in range(start, start + GRAM)}
    ends = [-1, *sorted(covered), len(words)]
    return {gram for before, after in pairwise(ends) for gram in _runs(words[before + 1 : after], GRAM)}
