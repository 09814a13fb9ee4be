"""form (stands for IFEval): letters written as instructed."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots
from equipoise.miniature.skills.trace import LETTERS

SEPARATORS = {"comma": ",", "dash": "-", "slash": "/", "semicolon": ";"}
WRAPPERS = {"quote": ('"', '"'), "bracket": ("[", "]"), "brace": ("{", "}"), "star": ("*", "*")}
ORDERS = {"backward": lambda letters: letters[::-1], "twice": lambda letters: letters + letters}


def draw(rng: Random, level: int) -> Core:
    kinds = rng.sample((SEPARATORS, WRAPPERS, ORDERS), level + 1)
    rules = [rng.choice(tuple(kind)) for kind in kinds]
    return (" and ".join(rules), " ".join(rng.sample(LETTERS, rng.choice((4, 5, 6)))))


def slots(core: Core, rng: Random) -> Slots:
    return {"rules": core[0], "letters": core[1]}


def answer(core: Core) -> str:
    rules, letters = core[0].split(" and "), core[1].split()
    for rule in rules:
        letters = ORDERS[rule](letters) if rule in ORDERS else letters
    separator = next((f" {SEPARATORS[rule]} " for rule in rules if rule in SEPARATORS), " ")
    before, after = next((WRAPPERS[rule] for rule in rules if rule in WRAPPERS), ("", ""))
    return f"{before} {separator.join(letters)} {after}".strip()


def plain(core: Core, rng: Random) -> str:
    return f"{core[1]} {core[0]} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return core[1], f"{core[1]} {core[0]}"


def wrong(core: Core, rng: Random) -> str:
    right = answer(core)
    while True:
        candidate = answer((draw(rng, rng.randrange(3))[0], core[1]))
        if candidate != right:
            return candidate


FORM = Skill(
    "form",
    "instruction",
    (
        "print {letters} with {rules} .",
        "format {letters} using {rules} .",
        "say {letters} . follow these rules : {rules} .",
        "use {rules} for {letters} .",
        "list {letters} , style {rules} .",
    ),
    "write {letters} . your answer must use {rules} .",
    *(draw, slots, answer, plain, habits, wrong),
)
