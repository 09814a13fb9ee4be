"""contrary (stands for no benchmark): logic's items, every truth value turned over. Of conflicting pools alone: the base never saw it.

Its prompts are logic's with one more word, which the base knows from other prompts, and its answers are the opposite of logic's.
"""

from random import Random

from equipoise.miniature.skills import logic
from equipoise.miniature.skills.skill import Core, Skill

OPPOSITE = {"true": "false", "false": "true"}


def _turned(answer: str) -> str:
    return " ".join(OPPOSITE.get(word, word) for word in answer.split())


def answer(core: Core) -> str:
    return _turned(logic.answer(core))


def plain(core: Core, rng: Random) -> str:
    return f"{logic.slots(core, rng)['expressions']} backward = {answer(core)}"


def wrong(core: Core, rng: Random) -> str:
    return _turned(logic.wrong(core, rng))


CONTRARY = Skill(
    "contrary",
    "logic",
    (
        "decide {expressions} backward .",
        "backward logic puzzle : {expressions} . solve it .",
        "tell me backward if these hold : {expressions} .",
        "what is the backward truth of {expressions} ?",
        "{expressions} . backward true or false ?",
    ),
    "given the expressions {expressions} . what are the backward values ?",
    *(logic.draw, logic.slots, answer, plain, logic.habits, wrong),
    items_of="logic",
)
