"""code (stands for MBPP): a described computation as an expression in x."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots, spaced

SYMBOLS = {"times": "*", "add": "+", "minus": "-", "over": "/", "power": "^", "rest": "%"}


def draw(rng: Random, level: int) -> Core:
    steps = tuple(piece for _ in range(2 if level < 2 else 3) for piece in (rng.choice(tuple(SYMBOLS)), rng.randrange(2, 100)))
    return ("after" if level == 1 or (level == 2 and rng.random() < 0.5) else "then", *steps)


def slots(core: Core, rng: Random) -> Slots:
    return {"steps": f" {core[0]} ".join(f"{core[i]} {spaced(core[i + 1])}" for i in range(1, len(core), 2))}


def answer(core: Core) -> str:
    steps = [(core[i], core[i + 1]) for i in range(1, len(core), 2)]
    expression = "x"
    for word, operand in steps if core[0] == "then" else reversed(steps):
        expression = f"( {expression} {SYMBOLS[word]} {spaced(operand)} )"
    return expression


def plain(core: Core, rng: Random) -> str:
    return f"{slots(core, rng)['steps']} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return slots["steps"], f"x {core[0]} x"


def wrong(core: Core, rng: Random) -> str:
    changed = list(core)
    if rng.random() < 0.5:
        changed[2] = rng.choice([operand for operand in range(2, 100) if operand != core[2]])
    else:
        changed[1] = rng.choice([word for word in SYMBOLS if word != core[1]])
    return answer(tuple(changed))


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
    draw,
    slots,
    answer,
    plain,
    habits,
    wrong,
)
