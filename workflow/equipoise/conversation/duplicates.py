"""Records that say the same: exactly (`Record.key`), or nearly (MinHash over runs of words, by datasketch)."""

import re
from typing import Any

from equipoise.conversation.record import Record, message_text

# words; a Chinese, Japanese or Korean character counts as one
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
RUN = 5  # words
THRESHOLD = 0.8  # estimated Jaccard similarity of two sets of runs
PERMUTATIONS = 128


class Duplicates:
    """The conversations so far. near: whether those with nearly the same words count."""

    def __init__(self, near: bool) -> None:
        self.near = near
        self.exact: dict[str, str] = {}
        self.sketches: list[tuple[str, Any]] = []
        if near:
            from datasketch import MinHash, MinHashLSH

            self.empty = MinHash(num_perm=PERMUTATIONS, seed=1)
            self.index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)

    def earlier(self, record: Record) -> tuple[str, str] | None:
        """Kind (exact or near) and id of the first record remembered that says what this one says; none where none does."""
        self.key, self.sketch = record.key, self._sketch(record) if self.near else None
        if self.key in self.exact:
            return "exact", self.exact[self.key]
        for place in sorted(self.index.query(self.sketch)) if self.sketch else ():
            identity, sketch = self.sketches[place]
            if sketch.jaccard(self.sketch) >= THRESHOLD:
                return "near", identity
        return None

    def remember(self, identity: str) -> None:
        """Keeps the record that `earlier` was last asked about, under its id."""
        self.exact.setdefault(self.key, identity)
        if self.sketch:
            self.index.insert(len(self.sketches), self.sketch, check_duplication=False)
            self.sketches.append((identity, self.sketch))

    def _sketch(self, record: Record) -> Any:
        words = WORD.findall("\n".join(map(message_text, record.messages)).lower())
        if not words:
            return None
        sketch = self.empty.copy()
        sketch.update_batch([" ".join(words[i : i + RUN]).encode() for i in range(max(1, len(words) - RUN + 1))])
        return sketch
