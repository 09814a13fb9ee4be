"""Numbers by text for many millions of texts, at some 40 bytes each: the texts themselves are not kept.

A text is known by 128 bits of BLAKE2b: among 10^9 texts two are taken for one with a probability of 10^-21. Open addressing in the order of
the hash, so that a larger table is filled by sorting.
"""

from hashlib import blake2b

import numpy as np

FULLEST = 0.6  # share of slots, beyond which a search takes several steps
FIRST_BITS = 10
SLACK = 64  # slots behind the last home, as a search does not begin again at the first


class Seen:
    """The number of every text that has been given one, int64."""

    def __init__(self) -> None:
        self._count = 0
        self._make(FIRST_BITS, *(np.empty(0, kind) for kind in (np.uint64, np.uint64, np.int64)))

    def __len__(self) -> int:
        return self._count

    def get(self, text: str) -> int | None:
        """The text's number; none where it has none."""
        slot, _, _ = self._slot(text)
        return self._numbers[slot] if self._highs[slot] else None

    def set(self, text: str, number: int) -> None:
        """Gives a text a number, in place of any that it had."""
        slot, high, low = self._slot(text)
        if not self._highs[slot]:
            self._count += 1
            self._highs[slot], self._lows[slot] = high, low
        self._numbers[slot] = number
        if self._count > self._most or slot >= self._last:
            table = [np.asarray(each) for each in (self._highs, self._lows, self._numbers)]
            taken = np.flatnonzero(table[0])
            taken = taken[np.argsort(table[0][taken], kind="stable")]
            self._make(self._bits + 1, *(each[taken] for each in table))

    def _slot(self, text: str) -> tuple[int, int, int]:
        """Where a text is, or belongs, and its hash; a high half of 0 is an empty slot."""
        both = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        high, low = (both >> 64) or 1, both & 0xFFFF_FFFF_FFFF_FFFF
        highs, lows = self._highs, self._lows
        slot = high >> (64 - self._bits)
        while (held := highs[slot]) and not (held == high and lows[slot] == low):
            slot += 1
        return slot, high, low

    def _make(self, bits: int, high: np.ndarray, low: np.ndarray, number: np.ndarray) -> None:
        """A table of 2^bits homes with entries sorted by `high`: each at its home, or behind the one before it."""
        size = (1 << bits) + SLACK
        places = np.arange(len(high))
        slots = places + np.maximum.accumulate((high >> np.uint64(64 - bits)).astype(np.int64) - places) if len(high) else places
        if len(slots) and slots[-1] >= size - 1:
            self._make(bits + 1, high, low, number)
            return
        tables = [np.zeros(size, each.dtype) for each in (high, low, number)]
        for table, values in zip(tables, (high, low, number), strict=True):
            table[slots] = values
        # indexing a memoryview gives a plain int, several times faster than numpy
        self._highs, self._lows, self._numbers = map(memoryview, tables)
        self._bits, self._most, self._last = bits, int(FULLEST * (1 << bits)), size - 2
