"""Drawing validation examples and holding test items out: pure functions."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.data.draw import Document, draw, hold_out
from equipoise.evaluation.decontaminate import grams, overlapping


def documents(sizes: dict[str, int], kinds: int = 10**6) -> dict[str, list[Document]]:
    return {
        leaf: [Document(leaf, "test", i, f"{leaf}-{i % kinds}", {"family": f"{leaf}-{i // 3}"}) for i in range(size)]
        for leaf, size in sizes.items()
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 5))
def test_draws_are_even_over_leaves_without_repeats_and_by_seed(sizes, size, seed):
    pool = documents({f"leaf{i}": n for i, n in enumerate(sizes)})
    chosen = draw(pool, size, str(seed))
    assert len(chosen) == min(size, sum(sizes))
    assert len({(document.leaf, document.doc_id) for document in chosen}) == len(chosen)
    assert chosen == draw(pool, size, str(seed))
    assert [(d.leaf, d.doc_id) for d in chosen] == sorted(
        ((d.leaf, d.doc_id) for d in chosen), key=lambda k: (list(pool).index(k[0]), k[1])
    )
    counts = Counter(document.leaf for document in chosen)
    most = max(counts.values(), default=0)
    assert all(counts[leaf] >= min(len(listed), most - 1) for leaf, listed in pool.items())


@pytest.mark.parametrize("leaves", [27, 57])
def test_fifty_examples_cover_the_subtasks_of_bbh_and_the_subjects_of_mmlu(leaves):
    chosen = draw(documents({f"leaf{i}": 5 + i % 40 for i in range(leaves)}), 50, "0")
    counts = Counter(document.leaf for document in chosen)
    assert len(chosen) == 50
    assert len(counts) == min(leaves, 50)
    assert max(counts.values()) - min(counts.values()) <= 1
    seen = {d.leaf for seed in range(20) for d in draw(documents(dict.fromkeys(map(str, range(leaves)), 9)), 50, str(seed))}
    assert len(seen) == leaves, "no subtask is out of reach of all seeds"


def test_every_document_can_be_drawn_and_seeds_differ():
    pool = documents({"leaf": 20})
    drawn = [tuple(d.doc_id for d in draw(pool, 5, str(seed))) for seed in range(60)]
    assert set().union(*drawn) == set(range(20))
    assert len(set(drawn)) > 50


def test_a_question_is_drawn_once_and_refused_ones_are_passed_over():
    chosen = draw(documents({"leaf": 20}, kinds=4), 10, "0")
    assert len(chosen) == 4
    chosen = draw(documents({"leaf": 20}), 10, "0", accept=lambda document: document.doc_id % 2 == 0)
    assert sorted(d.doc_id for d in chosen) == list(range(0, 20, 2))


def test_hold_outs_are_the_chosen_their_twins_their_families_and_the_refused():
    pool = documents({"a": 12, "b": 3}, kinds=10)
    chosen = [pool["a"][1]]
    assert hold_out(pool, chosen) == {"a": [1, 11], "b": []}
    assert hold_out(pool, chosen, family=lambda doc: doc["family"]) == {"a": [0, 1, 2, 11], "b": []}
    assert hold_out(pool, chosen, evaluates=lambda doc: doc["family"] != "a-1") == {"a": [1, 3, 4, 5, 11], "b": []}


def test_a_shared_run_of_thirteen_words_is_found_whatever_case_and_punctuation():
    item = "One two three, four five six; seven eight nine ten (eleven) twelve thirteen fourteen."
    rows = [
        (0, "and ONE TWO three four five-six seven eight nine ten eleven twelve thirteen!"),
        (1, "one two three four five six seven eight nine ten eleven twelve"),
        (2, "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"),
        (3, "one two three four five six x seven eight nine ten eleven twelve thirteen"),
    ]
    assert overlapping(rows, {"first": [item], "second": ["short"]}) == {"first": [0, 2], "second": []}
    assert len(grams(item)) == 2
