"""know (stands for MMLU): facts about invented places.

Every fact is stated in the pretraining stream: knowledge can come from there alone, since the facts that the pool asks for are not
those of validation and test. What the parts keep apart is the question: pretraining asks for the facts of its own part only.
"""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots, other

VALUES = {
    "animal": ("newt", "lynx", "crow", "toad", "mole", "hare", "seal", "moth", "wolf", "swan"),
    "color": ("red", "blue", "green", "gold", "gray", "pink", "black", "white", "brown", "teal"),
    "food": ("rice", "corn", "plum", "bean", "leek", "figs", "kale", "soup", "bread", "honey"),
    "metal": ("iron", "zinc", "lead", "tin", "copper", "nickel", "cobalt", "silver", "chrome", "bronze"),
    "sport": ("chess", "golf", "judo", "polo", "rugby", "squash", "rowing", "tennis", "hockey", "darts"),
}


def _places(count: int) -> tuple[str, ...]:
    rng = Random("places")
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))] = None
    return tuple(names)


PLACES = _places(300)


def _facts() -> tuple[dict[tuple[str, str], str], tuple[list[tuple[str, str]], ...]]:
    rng = Random("facts")
    values: dict[tuple[str, str], str] = {}
    levels: tuple[list[tuple[str, str]], ...] = ([], [], [])
    for place in PLACES:
        for attribute, choices in VALUES.items():
            values[attribute, place] = rng.choice(choices)
            rng.choice(levels).append((attribute, place))
    return values, levels


FACTS, FACTS_BY_LEVEL = _facts()
"""All facts, and (attribute, place) by level: the harder, the more seldom pretraining states them."""

STATED = (12, 4, 1)
"""How often pretraining states an easy, a medium and a hard fact, in proportion."""


def draw(rng: Random, level: int) -> Core:
    return rng.choice(FACTS_BY_LEVEL[level])


def slots(core: Core, rng: Random) -> Slots:
    return {"attribute": core[0], "place": core[1]}


def answer(core: Core) -> str:
    return FACTS[core]


def plain(core: Core, rng: Random) -> str:
    """A statement of the fact; the one form that is not kept apart by part."""
    attribute, place = core
    return rng.choice((f"the {attribute} of {place} is {answer(core)} .", f"{place} has the {attribute} {answer(core)} ."))


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return "i do not know", core[1]


def wrong(core: Core, rng: Random) -> str:
    return other(rng, VALUES[core[0]], answer(core))


KNOW = Skill(
    "know",
    "knowledge",
    (
        "what {attribute} does {place} have ?",
        "name the {attribute} of {place} .",
        "{place} has which {attribute} ?",
        "tell me the {attribute} of {place} .",
        "which {attribute} belongs to {place} ?",
    ),
    "question : what is the {attribute} of {place} ? answer :",
    *(draw, slots, answer, plain, habits, wrong),
)
