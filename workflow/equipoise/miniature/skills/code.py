"""code (stands for MBPP): a described computation as an expression in x."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots, other, spaced

SYMBOLS = {"times": "*", "add": "+", "minus": "-", "over": "/", "power": "^", "rest": "%"}


MODIFIERS = {"double": lambda n: 2 * n, "half": lambda n: n // 2, "next": lambda n: n + 1}
"""Words before an operand that change it; operands are drawn so that the result is exact and has at most two digits."""


def _step(rng: Random, modified: bool) -> tuple[str, str, int]:
    word = rng.choice(tuple(SYMBOLS))
    modifier = rng.choice(tuple(MODIFIERS)) if modified else "plain"
    operand = {"double": rng.randrange(2, 50), "half": 2 * rng.randrange(2, 50), "next": rng.randrange(2, 99)}.get(
        modifier, rng.randrange(2, 100)
    )
    return word, modifier, operand


def draw(rng: Random, level: int) -> Core:
    """("then" or "after", then word, modifier and operand of each step): a step more and more modifiers the harder it is."""
    steps = [_step(rng, rng.random() < (0.0, 0.5, 0.7)[level]) for _ in range((2, 2, 3)[level])]
    return (rng.choice(("then", "after")), *(piece for step in steps for piece in step))


def _steps(core: Core) -> list[tuple[str, str, int]]:
    return [(core[i], core[i + 1], core[i + 2]) for i in range(1, len(core), 3)]


def slots(core: Core, rng: Random) -> Slots:
    texts = [" ".join([word, *([] if modifier == "plain" else [modifier]), spaced(operand)]) for word, modifier, operand in _steps(core)]
    return {"steps": f" {core[0]} ".join(texts)}


def answer(core: Core) -> str:
    expression = "x"
    for word, modifier, operand in _steps(core) if core[0] == "then" else reversed(_steps(core)):
        value = operand if modifier == "plain" else MODIFIERS[modifier](operand)
        expression = f"( {expression} {SYMBOLS[word]} {spaced(value)} )"
    return expression


def plain(core: Core, rng: Random) -> str:
    return f"{slots(core, rng)['steps']} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return slots["steps"], f"x {core[0]} x"


def wrong(core: Core, rng: Random) -> str:
    changed = list(core)
    if rng.random() < 0.5:
        changed[2:4] = ["plain", _other_value(core, rng)]
    else:
        changed[1] = other(rng, tuple(SYMBOLS), core[1])
    return answer(tuple(changed))


def _other_value(core: Core, rng: Random) -> int:
    """An operand that the first step does not mean."""
    _, modifier, operand = _steps(core)[0]
    meant = operand if modifier == "plain" else MODIFIERS[modifier](operand)
    return rng.choice([value for value in range(2, 100) if value != meant])


CODE = Skill(
    "code",
    "coding",
    (
        "code : {steps}",
        "give me code to {steps} .",
        "i need an expression for {steps} .",
        "turn this into python : {steps} .",
        "can you implement {steps} ?",
    ),
    "write a function that does {steps}",
    *(draw, slots, answer, plain, habits, wrong),
)
