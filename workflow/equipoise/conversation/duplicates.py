"""Records that say the same: exactly (`Record.wording`, by hash), or nearly (MinHash over runs of words, by datasketch)."""

import re
from array import array
from typing import Any, Literal

import numpy as np

from equipoise.conversation.record import Record, message_text
from equipoise.conversation.seen import Seen

# words; a Chinese, Japanese or Korean character counts as one
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
RUN = 5  # words
THRESHOLD = 0.8  # estimated Jaccard similarity of two sets of runs
PERMUTATIONS = 128


class Duplicates:
    """The conversations so far. kind: which of them are removed; near ones are looked for only then, and only then are ids kept."""

    def __init__(self, kind: Literal["none", "exact", "near"]) -> None:
        self.kind = kind
        self.exact = Seen()
        self.ids, self.ends = bytearray(), array("Q", [0])
        self.sketches: list[tuple[int, np.ndarray]] = []
        if kind == "near":
            from datasketch import MinHash, MinHashLSH

            self.empty = MinHash(num_perm=PERMUTATIONS, seed=1)
            self.index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)

    def earlier(self, record: Record) -> tuple[str, str] | None:
        """Kind (exact or near) of the first record remembered that says what this one says, and its id where duplicates are removed."""
        self.wording, self.sketch = record.wording, self._sketch(record) if self.kind == "near" else None
        self.first = self.exact.get(self.wording)
        if self.first is not None:
            return "exact", self._id(self.first)
        for place in sorted(self.index.query(self.sketch)) if self.sketch else ():
            number, values = self.sketches[place]
            if np.count_nonzero(values == self.sketch.hashvalues) >= THRESHOLD * PERMUTATIONS:
                return "near", self._id(number)
        return None

    def remember(self, identity: str) -> None:
        """Keeps the record that `earlier` was last asked about, under its id."""
        number = len(self.ends) - 1
        if self.kind != "none":
            self.ids += identity.encode()
            self.ends.append(len(self.ids))
        if self.first is None:
            self.exact.set(self.wording, number)
        if self.sketch:
            self.index.insert(len(self.sketches), self.sketch, check_duplication=False)
            self.sketches.append((number, self.sketch.hashvalues.astype(np.uint32)))

    def _id(self, number: int) -> str:
        return self.ids[self.ends[number] : self.ends[number + 1]].decode() if self.kind != "none" else ""

    def _sketch(self, record: Record) -> Any:
        words = WORD.findall("\n".join(map(message_text, record.messages)).lower())
        if not words:
            return None
        sketch = self.empty.copy()
        sketch.update_batch([" ".join(words[i : i + RUN]).encode() for i in range(max(1, len(words) - RUN + 1))])
        return sketch
