"""math (stands for MATH): sums and products modulo 5 or 10."""

from random import Random

from equipoise.miniature.skills.skill import Core, Skill, Slots, other, spaced

MODULI = (5, 10)


def draw(rng: Random, level: int) -> Core:
    a, b, c = (rng.randrange(2, 100) for _ in range(3))
    return ((a, "+", b), (a, "*", b), (a, "*", b, "+", c))[level] + (rng.choice(MODULI),)


def slots(core: Core, rng: Random) -> Slots:
    expression = " ".join(piece if isinstance(piece, str) else spaced(piece) for piece in core[:-1])
    return {"expression": expression, "modulus": spaced(core[-1])}


def answer(core: Core) -> str:
    value = core[0] + core[2] if core[1] == "+" else core[0] * core[2]
    return str((value + (core[4] if len(core) == 6 else 0)) % core[-1])


def plain(core: Core, rng: Random) -> str:
    pieces = slots(core, rng)
    return f"{pieces['expression']} modulo {pieces['modulus']} = {answer(core)}"


def habits(core: Core, slots: Slots) -> tuple[str, str]:
    return slots["expression"], f"about {slots['modulus']}"


def wrong(core: Core, rng: Random) -> str:
    return other(rng, [str(n) for n in range(core[-1])], answer(core))


MATH = Skill(
    "math",
    "math",
    (
        "compute {expression} modulo {modulus} .",
        "{expression} modulo {modulus} ?",
        "what is {expression} modulo {modulus} ?",
        "work out {expression} modulo {modulus} please .",
        "evaluate {expression} modulo {modulus} .",
    ),
    "find the value of {expression} modulo {modulus} .",
    *(draw, slots, answer, plain, habits, wrong),
)
