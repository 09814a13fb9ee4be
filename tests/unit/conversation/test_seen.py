"""Numbers by text, compactly: as a dict has them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.conversation import seen
from equipoise.conversation.seen import Seen

TEXTS = st.text(st.characters(codec="utf-8"), max_size=3) | st.sampled_from(["", "a", "\ud800"])


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, st.integers(-(2**63), 2**63 - 1)), max_size=200))
def test_texts_have_the_numbers_that_they_were_given_last(pairs):
    held, wanted = Seen(), {}
    for text, number in pairs:
        assert held.get(text) == wanted.get(text)
        held.set(text, number)
        wanted[text] = number
    assert len(held) == len(wanted)
    assert all(held.get(text) == number for text, number in wanted.items())


def test_it_grows_through_many_sizes(monkeypatch):
    monkeypatch.setattr(seen, "FIRST_BITS", 1)
    monkeypatch.setattr(seen, "SLACK", 3)
    held = Seen()
    for number in range(20_000):
        held.set(f"row-{number}", number)
    assert len(held) == 20_000
    assert all(held.get(f"row-{number}") == number for number in range(20_000))
    assert held.get("row-20000") is None
