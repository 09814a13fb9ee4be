"""gsm (stands for GSM-Plus): a story of gaining and losing things, answered by a number up to 99."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots, spaced

NAMES = ("hal", "ann", "bob", "eva", "kim", "leo", "mia", "ned", "ola", "pia", "rex", "sue")
THINGS = ("apples", "books", "coins", "dolls", "eggs", "flags", "hats", "keys", "pens", "stamps")
VERBS = {"+": ("gains", "finds", "buys"), "-": ("loses", "eats", "sells")}


def draw(rng: Random, level: int) -> Core:
    while True:
        core: list[str | int] = [rng.randrange(2, 100)]
        for _ in range(2 if level == 2 else 1):
            core += [rng.choice("+-"), rng.randrange(*((1, 21), (21, 99), (1, 10))[level])]
        if all(1 <= total <= 99 for total in _totals(core)):
            return tuple(core)


def _totals(core) -> list[int]:
    totals = [core[0]]
    for i in range(1, len(core), 2):
        totals.append(totals[-1] + (core[i + 1] if core[i] == "+" else -core[i + 1]))
    return totals


def slots(core: Core, rng: Random) -> Slots:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    changes = [f"then {name} {rng.choice(VERBS[core[i]])} {spaced(core[i + 1])}" for i in range(1, len(core), 2)]
    return {"start": f"{name} has {spaced(core[0])} {thing}", "change": " . ".join(changes), "thing": thing}


def answer(core: Core) -> str:
    return spaced(_totals(core)[-1])


def plain(core: Core, rng: Random) -> str:
    """In symbols, in verbs or as the story."""
    form = rng.choice(("symbols", "verbs", "story"))
    if form == "story":
        pieces = slots(core, rng)
        return f"{pieces['start']} . {pieces['change']} = {answer(core)}"
    written = [spaced(core[0])]
    for i in range(1, len(core), 2):
        written += [rng.choice(VERBS[core[i]]) if form == "verbs" else core[i], spaced(core[i + 1])]
    return f"{' '.join(written)} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return slots["start"], f"many {slots['thing']}"


def wrong(core: Core, rng: Random) -> str:
    right = _totals(core)[-1]
    return spaced(rng.choice([n for n in range(max(1, right - 12), min(99, right + 12) + 1) if n != right]))


GSM = Skill(
    "gsm",
    "math",
    (
        "{start} . {change} . count the {thing} .",
        "{start} and {change} . what is left ?",
        "solve : {start} . {change} .",
        "at first {start} . later {change} . tell me the number of {thing} .",
        "{start} , {change} . total {thing} ?",
    ),
    "{start} . {change} . how many {thing} now ?",
    *(draw, slots, answer, plain, habits, wrong),
)
