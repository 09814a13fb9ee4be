"""What a skill of the miniature is, and the partition of its items."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Core = tuple[str | int, ...]
Slots = dict[str, str]

PARTS = {"pretraining": (0, 55), "pool": (55, 75), "validation": (75, 82), "test": (82, 100)}
"""Percentiles of the hash of an item core that belong to each part."""


@dataclass(frozen=True)
class Skill:
    """One task: how its items are drawn, asked, answered well and answered badly.

    A *core* is what an item is about (operations and operands) without its wording; two items with the same core are the same item.
    `templates` ask it in the pool and in pretraining, `benchmark` in validation and test alone. All text is words joined by single
    spaces, digits apart.
    """

    name: str
    capability: str
    templates: tuple[str, ...]
    benchmark: str
    draw: Callable[[Random, int], Core]
    """A random core of a level: 0 easy, 1 medium, 2 hard."""
    slots: Callable[[Core, Random], Slots]
    """The pieces of text that templates hold; names and verbs that are not part of the core come from the generator."""
    answer: Callable[[Core], str]
    plain: Callable[[Core, Random], str]
    """The item without a question, `core = answer`, as pretraining mostly sees it."""
    habits: Callable[[Core, Slots], tuple[str, str]]
    """Two unhelpful answers, the commoner first: what the base tends to say before it is tuned."""
    wrong: Callable[[Core, Random], str]
    """A plausible answer other than the right one."""
    items_of: str = ""
    """The skill whose items it asks with other answers: they are parted together. Empty: items of its own."""

    def key(self, core: Core) -> str:
        """The core as text, for comparisons and records."""
        return f"{self.items_of or self.name}: {' '.join(str(piece) for piece in core)}"

    def part(self, core: Core) -> str:
        """The one part (a key of `PARTS`) that may hold this core: parts are disjoint because this is a function of the core."""
        percentile = int.from_bytes(hashlib.sha256(self.key(core).encode()).digest()[:8], "big") % 100
        return next(part for part, (start, stop) in PARTS.items() if start <= percentile < stop)

    def draw_from(self, part: str, rng: Random, level: int) -> Core:
        """A random core of a level that belongs to a part and whose right answer is not also a habit."""
        while True:
            core = self.draw(rng, level)
            if self.part(core) == part and self.answer(core) not in self.habits(core, self.slots(core, Random(0))):
                return core


def spaced(number: int) -> str:
    """A number as the miniature writes it: digits apart."""
    return " ".join(str(number))


def skeleton(template: str) -> re.Pattern[str]:
    """A pattern that finds a template's wording around any slots."""
    pieces = [".+" if word.startswith("{") else re.escape(word) for word in template.split()]
    return re.compile(r"(?:^|\s)" + r" ".join(pieces) + r"(?:\s|$)")


def other(rng: Random, choices: list[str] | tuple[str, ...], right: str) -> str:
    """A random choice other than `right`."""
    return rng.choice([choice for choice in choices if choice != right])
