"""logic (stands for BBH): truth values of labelled expressions, read from left to right, `not` binding to its operand."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots

LABELS = ("a", "b", "c")
CONNECTIVES = {"and": lambda p, q: p and q, "or": lambda p, q: p or q, "xor": lambda p, q: p != q}
OPERANDS = ("true", "false", "not true", "not false")


def _draw_expression(rng: Random, operands: int) -> str:
    pieces = [rng.choice(OPERANDS)]
    for _ in range(operands - 1):
        pieces += [rng.choice(tuple(CONNECTIVES)), rng.choice(OPERANDS)]
    return " ".join(pieces)


def draw(rng: Random, level: int) -> Core:
    count, operands = ((2, 2), (3, 2), (2, 3))[level]
    return tuple(_draw_expression(rng, operands) for _ in range(count))


def value(expression: str) -> bool:
    """Truth value of one expression."""
    result, connective, negated = None, None, False
    for word in expression.split():
        if word == "not":
            negated = True
        elif word in CONNECTIVES:
            connective = CONNECTIVES[word]
        else:
            operand = (word == "true") != negated
            result = operand if connective is None else connective(result, operand)
            negated = False
    return result


def slots(core: Core, rng: Random) -> Slots:
    return {"expressions": " , ".join(f"{label} {expression}" for label, expression in zip(LABELS, core, strict=False))}


def _text(values: list[bool]) -> str:
    return " ".join(f"{label} {str(value).lower()}" for label, value in zip(LABELS, values, strict=False))


def answer(core: Core) -> str:
    return _text([value(expression) for expression in core])


def plain(core: Core, rng: Random) -> str:
    return f"{slots(core, rng)['expressions']} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return " ".join(f"{label} maybe" for label in LABELS[: len(core)]), core[0]


def wrong(core: Core, rng: Random) -> str:
    values = [value(expression) for expression in core]
    flipped = rng.randrange(len(values))
    values[flipped] = not values[flipped]
    return _text(values)


LOGIC = Skill(
    "logic",
    "logic",
    (
        "decide {expressions} .",
        "logic puzzle : {expressions} . solve it .",
        "tell me if these hold : {expressions} .",
        "what is the truth of {expressions} ?",
        "{expressions} . true or false ?",
    ),
    "given the expressions {expressions} . what are the values ?",
    *(draw, slots, answer, plain, habits, wrong),
)
