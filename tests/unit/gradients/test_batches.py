"""The batch plan: every example once, within the token budget, fixed by the data."""

from hypothesis import given
from hypothesis import strategies as st

from equipoise.gradients.batches import plan_batches


@given(st.lists(st.integers(0, 90), max_size=60), st.integers(1, 300))
def test_every_example_stands_in_one_batch_within_the_budget(lengths, budget):
    batches = plan_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == [i for i, length in enumerate(lengths) if length]
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert longest * len(batch) <= budget or len(batch) == 1


@given(st.lists(st.integers(1, 90), min_size=1, max_size=60))
def test_batches_hold_neighbours_in_length_and_come_longest_first(lengths):
    batches = plan_batches(lengths, 200)
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)
    assert plan_batches(list(lengths), 200) == batches
